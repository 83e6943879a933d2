"""Starts, repairs and stops the stack.

`up` first looks at everything that can be known at once (ports, disk, Java) and says what is wrong with its remedy;
then it fetches what is missing, and starts each service as soon as those it needs are healthy. What runs and answers
is left alone; what is dead or mute is cleared away with its orphans and started again: so a second `up` is harmless,
and `up` is also the repair after a kill -9 of anything. One `up` or `down` at a time per home.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from headwater.embedded import downloads, preflight, processes
from headwater.embedded.java import ensure_java
from headwater.embedded.secrets import ensure_secrets, secrets_file
from headwater.embedded.service import ProcessSpec, Service
from headwater.embedded.services import SERVICES, named, unneeded
from headwater.settings import Settings, get_settings

Report = Callable[[str, str], None]
"""Told the name of a service and what is happening with it."""
GUEST_GRACE_SECONDS = 60.0
"""How long a stream may take to finish its batch when everything is stopped."""
MUTE_SECONDS = 20.0
"""How long a process that runs but does not answer may go on before it is started anew."""


def up(names: Iterable[str], report: Report, fetched: downloads.Progress = lambda done, total: None) -> list[Service]:
    """Have these services (all, when none is named) running and healthy, with what they need; the services that are.

    Raises a HeadwaterError that says what is wrong and what to do; what was started stays, and the next `up` goes on.
    """
    asked = set(names)
    settings = get_settings()
    services = [one for one in named(asked) if one.name in asked or _is_needed(settings, one, report)]
    preflight.check_disk(settings, services)
    with exclusive(settings, report):
        settings = ensure_secrets(settings)
        ours = [service for service in services if _is_ours(settings, service, report)]
        preflight.check_ports(settings, ours)
        if any(service.java for service in ours):
            java = ensure_java(settings)
            downloads.ensure(settings, {g for service in ours for g in service.downloads}, java.executable, fetched)
        _start_all(settings, ours, report)
    return ours


def _is_needed(settings: Settings, service: Service, report: Report) -> bool:
    """Whether the service is to run without having been named; says so where it is not."""
    why = unneeded(settings, service)
    if why:
        report(service.name, f"left out: {why}")
    return not why


def _is_ours(settings: Settings, service: Service, report: Report) -> bool:
    """Whether the service is to be started here; says so where it is not."""
    if service.elsewhere(settings):
        report(service.name, f"yours, at {service.address(settings)}")
        return False
    if service.absent(settings):
        report(service.name, f"left out: {service.absent(settings)}")
        return False
    return True


@contextmanager
def exclusive(settings: Settings, report: Report) -> Iterator[None]:
    """One `up` or `down` at a time; the system frees the lock when its holder dies."""
    processes.run_dir(settings).mkdir(parents=True, exist_ok=True)
    with (processes.run_dir(settings) / "up.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("stack", "another `headwater up` or `down` is at work here; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start_all(settings: Settings, services: list[Service], report: Report) -> None:
    """Start each service once those it needs are up. On a failure the others that began are still awaited."""
    waiting = {service.name: service for service in services}
    started: set[str] = set(SERVICES) - set(waiting)
    running: dict[Future[None], str] = {}
    failures: list[BaseException] = []
    with ThreadPoolExecutor(max_workers=len(SERVICES)) as pool:
        while waiting or running:
            ready = [service for service in waiting.values() if set(service.needs) <= started and not failures]
            for service in ready:
                running[pool.submit(_start_service, settings, service, report)] = waiting.pop(service.name).name
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                error = future.exception()
                if error is None:
                    started.add(name)
                else:
                    report(name, "failed")
                    failures.append(error)
    if failures:
        raise failures[0]


def _start_service(settings: Settings, service: Service, report: Report) -> None:
    begin = time.monotonic()
    specs = service.processes(settings)
    dead = [spec for spec in specs if not _serves(settings, spec)]
    if not dead:
        service.settle(settings)
        report(service.name, "runs already")
        return
    report(service.name, "starting")
    for spec in dead:
        processes.stop(settings, spec)
    service.prepare(settings)
    # What prepare() made (an unpacked application, say) is part of the command.
    fresh = {spec.name: spec for spec in service.processes(settings)}
    born = [(fresh[spec.name], processes.start(settings, fresh[spec.name])) for spec in dead]
    for spec, running in born:
        processes.await_healthy(settings, spec, running)
    service.settle(settings)
    report(service.name, f"ready in {time.monotonic() - begin:.1f} s at {service.address(settings)}")


def _serves(settings: Settings, spec: ProcessSpec) -> bool:
    """Whether the process runs and answers; one that runs but is mute is given a little time."""
    running = processes.find(settings, spec.name)
    if running is None:
        return False
    deadline = time.monotonic() + MUTE_SECONDS
    while processes.alive(running.process):
        if spec.healthy():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return False


def down(report: Report, wipe: bool = False) -> None:
    """Stop every service and whatever else carries this home's mark; with `wipe`, forget the data and secrets too.

    First those that start others (Airflow) or take events, then guests such as a stream, while what they write to is
    still there.
    """
    settings = get_settings()
    with exclusive(settings, report):
        for name in ("mcp", "api", "airflow"):
            _stop_service(settings, SERVICES[name], report)
        _stop_guests(settings, report)
        for service in reversed(SERVICES.values()):
            _stop_service(settings, service, report)
        _stop_guests(settings, report)
        if wipe:
            _wipe(settings)
            report("stack", f"data below {settings.home} is gone (downloads stay)")


def _stop_service(settings: Settings, service: Service, report: Report) -> None:
    specs = service.processes(settings)
    with ThreadPoolExecutor(max_workers=len(specs)) as pool:
        if any(list(pool.map(lambda spec: processes.stop(settings, spec), specs))):
            report(service.name, "stopped")


def _stop_guests(settings: Settings, report: Report) -> None:
    """End what was started with this home's mark and is no service: a stream, a job."""
    ours = {spec.name for service in SERVICES.values() for spec in service.processes(settings)}
    # One that was started by hand and adopted has a pid file and no mark.
    adopted = {path.stem for path in processes.run_dir(settings).glob("*.pid")}
    guests = (set(processes.belonging(settings)) | adopted) - ours
    for name in sorted(guests, key=lambda name: name not in processes.STARTERS):
        alone = name in processes.STARTERS
        spec = ProcessSpec(name, (), lambda: False, grace_seconds=GUEST_GRACE_SECONDS, leaves_children=alone)
        if processes.stop(settings, spec):
            report(name, "stopped")


def _wipe(settings: Settings) -> None:
    for service in SERVICES.values():
        for path in service.data(settings):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    for name in ("lake", "landing", "lineage", "streams", "logs", "audit"):
        shutil.rmtree(settings.home / name, ignore_errors=True)
    secrets_file(settings).unlink(missing_ok=True)
    get_settings.cache_clear()
