"""Starts, finds and stops the streaming application, one process for all streams.

It runs detached, in a session of its own; its pid file holds pid and create time, so that a reused pid is never taken
for it. Two copies started by mistake do no harm: the second does not get the writer lock.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

from headwater.embedded import processes
from headwater.embedded.service import ProcessSpec
from headwater.errors import TerminalError
from headwater.settings import Settings, get_settings
from headwater.streaming.accounting import streams
from headwater.streaming.heartbeat import read_heartbeat

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


def start(names: Sequence[str] = (), *, wait_seconds: float = 120.0) -> bool:
    """Start the application unless it runs, and wait until its streams read; whether it was started now.

    Raises `StartFailed` with the end of its log, or `TerminalError` where a stream refuses to run.
    """
    settings = get_settings()
    names = [dataset.name for dataset in streams(names)]
    spec = process_spec(settings, names)
    running = processes.find(settings, PROCESS)
    if running is not None:
        if any(_status(settings, name).state == "failed" for name in names):
            running.process.send_signal(signal.SIGHUP)
            _await_change(settings, names)
        _await_streams(settings, spec, running, names, wait_seconds)
        return False
    processes.end(processes.strays(settings, spec), 5.0)
    _await_streams(settings, spec, processes.start(settings, spec), names, wait_seconds)
    return True


def _await_change(settings: Settings, names: Sequence[str]) -> None:
    """Until no stream is told as failed any more, or one fails anew (its start time tells)."""
    before = {name: _status(settings, name).heartbeat.get("heartbeat_at") for name in names}
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        now = {name: _status(settings, name).heartbeat.get("heartbeat_at") for name in names}
        if all(now[name] != before[name] for name in names):
            return
        time.sleep(0.1)


def _await_streams(
    settings: Settings, spec: ProcessSpec, running: processes.Running, names: Sequence[str], seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    while processes.alive(running.process) and time.monotonic() < deadline:
        states = {name: _status(settings, name) for name in names}
        failed = [s for s in states.values() if s.alive and s.state == "failed"]
        if failed:
            raise TerminalError(str(failed[0].heartbeat["reason"]), where=f"stream {failed[0].dataset}")
        if all(s.alive and s.state in LIVING for s in states.values()):
            return
        time.sleep(0.2)
    processes.await_healthy(settings, spec, running, seconds=1.0)


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
