"""Starts, finds and ends the processes of the stack.

Each runs in a session (and process group) of its own and carries two marks in its environment: the home directory it
belongs to and its name. A pid file holds pid and create time, so that a pid that was given to somebody else is never
taken for ours. The marks find what the pid file does not know: children that outlived a kill -9 of their parent, or
a process whose starter died before it wrote the file.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from headwater.embedded.errors import StartFailed
from headwater.embedded.service import ProcessSpec
from headwater.environment import child_environment
from headwater.settings import Settings

HOME_MARK = "HEADWATER_PROCESS_OF"
NAME_MARK = "HEADWATER_PROCESS"
WATCHER = "stream-watch"
STARTERS = (WATCHER,)
"""What starts others again where they are gone: to be ended before those, and alone."""
LOG_KEPT_BYTES = 16 * 1024 * 1024
_STARTED: dict[int, subprocess.Popen[bytes]] = {}
"""Processes started by this very process: they must be reaped, or they stay as zombies."""


@dataclass(frozen=True)
class Running:
    """A process of ours that is alive."""

    name: str
    process: psutil.Process

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its group."""
        return self.process.pid


def run_dir(settings: Settings) -> Path:
    """Where pid files and locks lie."""
    return settings.home / "run"


def pid_file(settings: Settings, name: str) -> Path:
    """The file that says which process `name` is."""
    return run_dir(settings) / f"{name}.pid"


def log_file(settings: Settings, name: str) -> Path:
    """Standard output and error of the process `name`."""
    return settings.logs_dir / f"{name}.log"


def find(settings: Settings, name: str) -> Running | None:
    """The running process `name` of this home, or None."""
    try:
        record = json.loads(pid_file(settings, name).read_text())
        process = psutil.Process(record["pid"])
        ours = abs(process.create_time() - record["create_time"]) < 1.0 and alive(process)
    except (OSError, ValueError, KeyError, psutil.Error):
        return None
    return Running(name, process) if ours else None


def alive(process: psutil.Process) -> bool:
    """Whether the process runs: not gone, and not a zombie."""
    _reap(process.pid)
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _reap(pid: int) -> None:
    child = _STARTED.get(pid)
    if child is not None and child.poll() is not None:
        _STARTED.pop(pid, None)


def start(settings: Settings, spec: ProcessSpec) -> Running:
    """Start the process and write its pid file. It does not serve yet: see `await_healthy`."""
    run_dir(settings).mkdir(parents=True, exist_ok=True)
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    log = log_file(settings, spec.name)
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    marks = {HOME_MARK: str(settings.home), NAME_MARK: spec.name}
    with log.open("ab") as output:
        child = subprocess.Popen(
            spec.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=child_environment({**spec.environment, **marks}),
            cwd=spec.directory,
            start_new_session=True,
            user=spec.user,
            group=group_of(spec.user),
            extra_groups=[] if spec.user else None,
        )
    _STARTED[child.pid] = child
    return adopt(settings, spec.name, child.pid)


def adopt(settings: Settings, name: str, pid: int) -> Running:
    """Make this process the one of that name, by a pid file: it was just started, or found by other means."""
    process = psutil.Process(pid)
    record = {"name": name, "pid": pid, "create_time": process.create_time(), "command": process.name()}
    target = pid_file(settings, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_suffix(".new")
    new.write_text(json.dumps(record))
    new.replace(target)
    return Running(name, process)


def group_of(user: str | None) -> int | None:
    """The group of another user, for a process that is to run as that user."""
    return pwd.getpwnam(user).pw_gid if user else None


def await_healthy(settings: Settings, spec: ProcessSpec, running: Running, seconds: float | None = None) -> None:
    """Wait until the process answers its health check.

    Raises StartFailed with the end of its log when it ends first, or when it takes longer than it may.
    """
    limit = spec.start_seconds if seconds is None else seconds
    deadline = time.monotonic() + limit
    while True:
        if not alive(running.process):
            raise _failed(settings, spec, "it ended")
        if spec.healthy():
            return
        if time.monotonic() > deadline:
            raise _failed(settings, spec, f"it did not answer its health check within {limit:.0f} s")
        time.sleep(0.1)


def _failed(settings: Settings, spec: ProcessSpec, fault: str) -> StartFailed:
    log = log_file(settings, spec.name)
    last = "\n    ".join(tail(log, 8))
    return StartFailed(
        f"{fault}; the end of its log:\n    {last}\n", where=spec.name, remedy=f"see {log}, then `headwater up` again"
    )


def tail(log: Path, lines: int, end: int | None = None) -> list[str]:
    """The last lines of a log (of its first `end` bytes), or nothing where there is none."""
    if not log.exists():
        return []
    end = log.stat().st_size if end is None else end
    begin = max(0, end - 400 * max(lines, 1))
    with log.open("rb") as file:
        file.seek(begin)
        return file.read(end - begin).decode(errors="replace").splitlines()[-lines:]


def belonging(settings: Settings) -> dict[str, list[psutil.Process]]:
    """Every living process that carries this home's mark, by the name in its mark."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with suppress(psutil.Error, OSError):
            environment = process.environ()
            if environment.get(HOME_MARK) == str(settings.home) and alive(process):
                found.setdefault(environment.get(NAME_MARK, ""), []).append(process)
    return found


def in_directory(directory: Path) -> list[psutil.Process]:
    """Living processes whose working directory is `directory`."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.cwd() == str(directory) and alive(process):
                found.append(process)
    return found


def strays(settings: Settings, spec: ProcessSpec) -> list[psutil.Process]:
    """What is left of an earlier life of this process."""
    left = belonging(settings).get(spec.name, [])
    if spec.owns_directory and spec.directory:
        left += in_directory(spec.directory)
    return left


def stop(settings: Settings, spec: ProcessSpec) -> bool:
    """Stop the process with all its children and forget it; whether there was anything to stop."""
    running = find(settings, spec.name)
    left = strays(settings, spec)
    if running:
        left += [running.process, *([] if spec.leaves_children else descendants(running.process))]
        with suppress(ProcessLookupError):
            os.kill(running.pid, spec.stop_signal)
        await_end([running.process], spec.grace_seconds)
    end([process for process in left if alive(process)], 5.0)
    pid_file(settings, spec.name).unlink(missing_ok=True)
    return bool(left)


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Its children, their children, and so on."""
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def end(processes: Iterable[psutil.Process], grace_seconds: float) -> None:
    """SIGTERM, then SIGKILL for what is still there after the grace."""
    left = list(processes)
    for signal_number, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 10.0)):
        for process in left:
            with suppress(psutil.Error):
                process.send_signal(signal_number)
        left = await_end(left, patience)
        if not left:
            return
    names = ", ".join(f"{process.pid}" for process in left)
    raise StartFailed(f"processes do not end on SIGKILL: {names}", remedy="look at them with ps, then try again")


def await_end(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until the processes have ended; those that have not within the time."""
    deadline = time.monotonic() + seconds
    left = [process for process in processes if alive(process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if alive(process)]
    return left


def python_command(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module with this very interpreter."""
    return (sys.executable, "-m", module, *arguments)
