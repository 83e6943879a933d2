"""The streaming application as something that is submitted, polled and killed, wherever its executors run.

The driver is a process of this home, in a session of its own; its pid file holds pid and create time, so that a reused
pid is never taken for it. Its executors are threads of it (`local[…]`), or processes of a standalone cluster
(`spark://…`), where Spark runs Python drivers in client mode only, so that the driver stays here too. An application
whose pid file is lost, because its submitter died before it wrote it, is found by its lease and adopted.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol
from urllib.parse import urlencode
from urllib.request import urlopen

import psutil

from headwater.embedded import processes
from headwater.embedded.service import ProcessSpec
from headwater.settings import Settings
from headwater.streaming.lease_rows import LeaseRow

PROCESS = "stream"
JOB = "ingest_stream.py"
ASK_SECONDS = 5.0
GRACE_SECONDS, SICK_GRACE_SECONDS = 60.0, 3.0
"""What a well application gets to end its batch; one that hangs will not end it, however long one waits."""


def application_name(settings: Settings) -> str:
    """How the application of this home and project, on this host, is called in Spark: a cluster has others as well."""
    mine = f"{socket.gethostname()}\n{settings.home}\n{settings.project_dir}"
    return f"headwater-stream-{hashlib.sha256(mine.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Application:
    """A streaming application that runs; `streams` are those it was started with."""

    running: processes.Running
    streams: tuple[str, ...]

    @property
    def pid(self) -> int:
        """The driver's process id."""
        return self.running.pid

    @property
    def alive(self) -> bool:
        """Whether the driver still runs."""
        return processes.alive(self.running.process)


class Launcher(Protocol):
    """Where streaming applications run."""

    def submit(self, streams: Sequence[str]) -> Application:
        """Start one that reads these streams; what is left of a former one is ended first."""

    def poll(self, rows: Iterable[LeaseRow] = ()) -> Application | None:
        """The one that runs, by its pid file or else by these leases; None where none does."""

    def kill(self, *, sick: bool = False) -> bool:
        """Ask it to end after its batch and see that it does; a sick one is not waited for. Whether there was one."""

    def complaint(self, row: LeaseRow) -> str:
        """What the cluster lacks for the application of this lease, so that a restart is no help; mostly nothing."""


class LocalProcess:
    """The driver and all its executors in one process of this host."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def submit(self, streams: Sequence[str]) -> Application:
        """Start the process."""
        self.kill()
        return Application(processes.start(self._settings, self._spec(streams)), tuple(streams))

    def poll(self, rows: Iterable[LeaseRow] = ()) -> Application | None:
        """The process of the pid file; else the one that holds one of the leases, which is adopted."""
        found = processes.find(self._settings, PROCESS)
        if found is None:
            holders = (row.pid for row in rows if row.alive and row.here and _is_application(row.pid))
            found = next((processes.adopt(self._settings, PROCESS, pid) for pid in holders), None)
        return None if found is None else Application(found, _carried(found))

    def kill(self, *, sick: bool = False) -> bool:
        """SIGTERM, and SIGKILL for what does not listen."""
        spec = self._spec()
        return processes.stop(self._settings, replace(spec, grace_seconds=SICK_GRACE_SECONDS) if sick else spec)

    def complaint(self, row: LeaseRow) -> str:
        """There is no cluster."""
        return ""

    def _spec(self, streams: Sequence[str] = ()) -> ProcessSpec:
        named = [argument for name in streams for argument in ("--dataset", name)]
        job = self._settings.project_dir / "spark_jobs" / JOB
        return ProcessSpec(
            name=PROCESS,
            command=(sys.executable, str(job), *named),
            healthy=lambda: True,
            directory=self._settings.project_dir,
            grace_seconds=GRACE_SECONDS,
        )


class StandaloneCluster(LocalProcess):
    """The driver here, its executors on the workers of a standalone master, which is asked over its web interface."""

    def kill(self, *, sick: bool = False) -> bool:
        """End the driver; the master ends the executors of one that is gone. A sick one is ended there as well."""
        ids, name = [], application_name(self._settings)
        with suppress(OSError):  # the master is away: what is here is ended all the same
            ids = [app["id"] for app in self._active() if app["name"] == name] if sick else []
        ended = super().kill(sick=sick)
        for application in ids:
            with suppress(OSError):  # it may have ended by itself; if the master is away, so are its executors soon
                form = urlencode({"id": application, "terminate": "true"}).encode()
                urlopen(f"{self._settings.spark_master_ui}/app/kill/", form, timeout=ASK_SECONDS).close()  # noqa: S310
        return ended

    def complaint(self, row: LeaseRow) -> str:
        """Whether the master is away, does not know the application, or gives it nothing to run on."""
        ui, mine = self._settings.spark_master_ui, row.report.get("application_id")
        if not ui or not mine:
            return ""
        try:
            cores = next((app["cores"] for app in self._active() if app["id"] == mine), None)
        except OSError as error:
            return f"the Spark master does not answer at {ui}: {error}"
        if cores is None:
            return f"the Spark master at {ui} does not know {mine} any more"
        # Its state stays RUNNING when the last worker goes; what it was granted does not.
        lacks = f"the Spark master at {ui} has no executors for {mine}: no worker, or none with cores and memory left"
        return "" if cores else lacks

    def _active(self) -> list[dict[str, Any]]:
        """Applications that the master has not seen end. Raises `OSError` where it does not answer."""
        if not self._settings.spark_master_ui:
            return []
        with urlopen(f"{self._settings.spark_master_ui}/json/", timeout=ASK_SECONDS) as answer:  # noqa: S310
            found: list[dict[str, Any]] = json.load(answer)["activeapps"]
        return found


def launcher(settings: Settings) -> Launcher:
    """The launcher for `settings.spark_master`."""
    standalone = settings.spark_master.startswith("spark://")
    return StandaloneCluster(settings) if standalone else LocalProcess(settings)


def _command(pid: int) -> list[str]:
    with suppress(psutil.Error):
        return psutil.Process(pid).cmdline()
    return []


def _is_application(pid: int) -> bool:
    """A lease may be held by another program as well, a test for example; that one is not ours to end."""
    return any(argument.endswith(JOB) for argument in _command(pid))


def _carried(running: processes.Running) -> tuple[str, ...]:
    """The streams this application was started with: its command names each."""
    return tuple(name for flag, name in pairwise(_command(running.pid)) if flag == "--dataset")
