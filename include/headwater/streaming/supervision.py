"""Starts, finds and stops the streaming application, one process for all streams.

It runs detached, in a session of its own; its pid file holds pid and create time, so that a reused pid is never taken
for it. Two copies started by mistake do no harm: the second does not get the writer lock.
"""

from __future__ import annotations

import fcntl
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psutil

from headwater.embedded import processes
from headwater.embedded.errors import StartFailed
from headwater.embedded.service import ProcessSpec
from headwater.errors import TerminalError
from headwater.settings import Settings, get_settings
from headwater.streaming.accounting import streams
from headwater.streaming.heartbeat import read_heartbeat, retry_file

PROCESS = "stream"
LIVING = ("running", "waiting", "retrying")


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream as its heartbeat tells; `alive`: the process that wrote it still runs."""

    dataset: str
    alive: bool
    heartbeat: dict[str, Any]

    @property
    def state(self) -> str:
        """The state it last told, or `dead` where its process is gone without having said goodbye."""
        told = str(self.heartbeat.get("state", "never started"))
        return "dead" if told in (*LIVING, "starting") and not self.alive else told


def process_spec(settings: Settings, names: Sequence[str] = ()) -> ProcessSpec:
    """The application's process; of these streams, or of all."""
    arguments = [argument for name in names for argument in ("--dataset", name)]
    return ProcessSpec(
        name=PROCESS,
        command=(sys.executable, str(settings.project_dir / "spark_jobs" / "ingest_stream.py"), *arguments),
        healthy=lambda: set(running_streams()) >= {dataset.name for dataset in streams(names)},
        directory=settings.project_dir,
        grace_seconds=60.0,
    )


def start(names: Sequence[str] = (), *, leave_failed: bool = False, wait_seconds: float = 180.0) -> bool:
    """See that these streams (default: all) are read, and wait until they are; whether a process was started for it.

    An application that runs without one of them is ended after its batch and started again with all of its own and
    these. A stream that has failed is tried once more; `leave_failed` leaves it alone and says why, after the others
    were seen to. Raises `StartFailed` with the end of the log, `TerminalError` where a stream has failed.
    """
    settings = get_settings()
    wanted = [dataset.name for dataset in streams(names)]
    with _one_at_a_time(settings):
        failed = [name for name in wanted if leave_failed and _status(settings, name).state == "failed"]
        started = _see_to(settings, [name for name in wanted if name not in failed], wait_seconds)
    for name in failed:
        raise _refusal(_status(settings, name))
    return started


def _see_to(settings: Settings, wanted: Sequence[str], wait_seconds: float) -> bool:
    """Have these streams read by one application; whether it was started now."""
    running = processes.find(settings, PROCESS)
    carried = _carried(running)
    if running is not None and set(wanted) <= set(carried):
        _revive(settings, running, wanted)
        _await_streams(settings, running, wanted, wait_seconds)
        return False
    if not wanted:
        return False
    spec = process_spec(settings, _together(settings, wanted, carried))
    processes.stop(settings, spec)
    _await_streams(settings, processes.start(settings, spec), wanted, wait_seconds)
    return True


def _carried(running: processes.Running | None) -> list[str]:
    """The streams this application was started with: its command names each."""
    if running is None:
        return []
    with suppress(psutil.Error):
        command = running.process.cmdline()
        return [name for flag, name in pairwise(command) if flag == "--dataset"]
    return []


def _together(settings: Settings, wanted: Sequence[str], carried: Sequence[str]) -> list[str]:
    """The wanted, and what else is being read; without what has failed and what has no contract any more."""
    others = {dataset.name for dataset in streams()} & set(carried) - set(wanted)
    return [*wanted, *sorted(name for name in others if _status(settings, name).state != "failed")]


@contextmanager
def _one_at_a_time(settings: Settings) -> Iterator[None]:
    """The DAG and a person may ask at the same moment; the second then finds what the first has started."""
    lock = processes.run_dir(settings) / f"{PROCESS}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _revive(settings: Settings, running: processes.Running, names: Sequence[str]) -> None:
    """Have the application try again what has failed in it, and wait until it has begun to."""
    failed = [status for status in _told_by(settings, running, names) if status.state == "failed"]
    if not failed:
        return
    for status in failed:
        retry_file(settings, status.dataset).touch()
    running.process.send_signal(signal.SIGHUP)
    begun = {status.dataset: status.heartbeat.get("started_at") for status in failed}
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline and processes.alive(running.process):
        if all(_status(settings, name).heartbeat.get("started_at") != time_of for name, time_of in begun.items()):
            return
        time.sleep(0.1)


def _await_streams(settings: Settings, running: processes.Running, names: Sequence[str], seconds: float) -> None:
    """Until this very process reads them all, but those that have failed: `TerminalError`. Else `StartFailed`."""
    deadline = time.monotonic() + seconds
    while True:
        alive = processes.alive(running.process)
        own = _told_by(settings, running, names)
        failed = [status for status in own if status.state == "failed"]
        living = [status for status in own if status.state in LIVING and alive]
        late = not alive or time.monotonic() > deadline
        if failed and (late or len(failed) + len(living) == len(names)):
            raise _refusal(failed[0])
        if len(living) == len(names):
            return
        if late:
            break
        time.sleep(0.2)
    unread = ", ".join(sorted({*names} - {status.dataset for status in living}))
    log = processes.log_file(settings, PROCESS)
    raise StartFailed(
        f"{f'{unread}: not read after {seconds:.0f} s' if alive else 'it ended'}; the end of its log:\n    "
        + "\n    ".join(processes.tail(log, 8)),
        where=PROCESS,
        remedy=f"see {log}, then `headwater stream start` again",
    )


def _told_by(settings: Settings, running: processes.Running, names: Sequence[str]) -> list[StreamStatus]:
    """What this very process tells of the streams; of one that it has yet to begin it tells nothing."""
    found = [_status(settings, name) for name in names]
    return [status for status in found if status.heartbeat.get("pid") == running.pid]


def _refusal(status: StreamStatus) -> TerminalError:
    """What a stream said when it gave up."""
    return TerminalError(
        str(status.heartbeat.get("reason") or "it gave up"),
        where=f"stream {status.dataset}",
        remedy=f"when that is mended: `headwater stream start {status.dataset}`",
    )


def stop() -> bool:
    """Ask the application to end after its batch, and see that it does; whether there was one."""
    settings = get_settings()
    return processes.stop(settings, process_spec(settings))


def running_streams() -> list[str]:
    """Names of the streams that are being read right now."""
    return [s.dataset for s in statuses() if s.alive and s.state in LIVING]


def statuses(names: Sequence[str] = ()) -> list[StreamStatus]:
    """What is known of these streams (default: all)."""
    settings = get_settings()
    return [_status(settings, dataset.name) for dataset in streams(names)]


def _status(settings: Settings, dataset: str) -> StreamStatus:
    heartbeat = read_heartbeat(settings, dataset) or {}
    alive = False
    with suppress(psutil.Error, KeyError):
        process = psutil.Process(heartbeat["pid"])
        alive = abs(process.create_time() - heartbeat["create_time"]) < 1.0 and processes.alive(process)
    return StreamStatus(dataset, alive, heartbeat)
