"""Looks at the streams every second between the looks of the DAG `streams`: a killed one is started again at once.

The watcher is a process of the home that does what the DAG's look does, from the same rows, under the same lock and
with the same budget, so that it does not matter who comes first. The DAG keeps it: each of its looks asks for it for
ten minutes more, and starts it where it is gone or its code is older than what is on disk. So a killed watcher is back
within a minute, while the DAG's own look does its work; and ten minutes after the DAG was paused nobody watches.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from headwater.embedded import processes
from headwater.embedded.job_server import newest_source
from headwater.embedded.processes import WATCHER
from headwater.embedded.service import ProcessSpec
from headwater.errors import HeadwaterError
from headwater.settings import Settings
from headwater.streaming.declared import streams
from headwater.streaming.health import judge
from headwater.streaming.lease_rows import LeaseRow, connected, rows_of
from headwater.streaming.pauses import postponed
from headwater.streaming.supervising import IDLE, supervise
from headwater.streaming.supervision import one_at_a_time

log = logging.getLogger(__name__)

ASKED_SECONDS = 600.0
"""So long the watcher goes on after the DAG has last asked for it: Airflow may be restarted meanwhile."""
REST_SECONDS = 10.0
"""After a look that could do nothing: what is missing will not be there in a second."""


def keep(settings: Settings) -> dict[str, Any]:
    """Ask for the watcher, and see that it runs: `did` is `started`, `started anew` (newer code) or nothing."""
    with one_at_a_time(settings):  # not in the middle of what it does
        asked_file(settings).touch()
        running = processes.find(settings, WATCHER)
        did = ""
        if running is None or newest_source() > running.process.create_time():
            did = "started" if running is None else "started anew"
            processes.stop(settings, watcher(settings))
            running = processes.start(settings, watcher(settings))
    return {"pid": running.pid, "seconds": round(time.time() - running.process.create_time(), 1), "did": did}


def asked_file(settings: Settings) -> Path:
    """Its time says when the DAG last asked for the watcher."""
    return processes.run_dir(settings) / f"{WATCHER}.asked"


def is_asked_for(settings: Settings) -> bool:
    """Whether the DAG has asked for the watcher lately."""
    file = asked_file(settings)
    return file.exists() and time.time() - file.stat().st_mtime < ASKED_SECONDS


def watch(settings: Settings, *, wanted: Callable[[], bool] = lambda: True) -> None:
    """Look, and act where somebody is needed, as long as it is wanted."""
    told = ""
    while wanted():
        try:
            if not _await_need(settings, wanted):
                return
            looks = supervise(by="watch")
        except HeadwaterError as error:
            if str(error) != told:
                log.error("%s", error)
            told = str(error)
            time.sleep(settings.stream_watch_seconds)
            continue
        told = ""
        for look in looks:
            if look.did:
                log.warning("%s: %s: %s → %s %s", look.dataset, look.found, look.reason, look.did, look.note)
        if could_do_nothing(look.did for look in looks):
            time.sleep(REST_SECONDS)


def could_do_nothing(did: Iterable[str]) -> bool:
    """Whether a stream needs somebody, and a look could help none."""
    found = set(did)
    return "waits" in found and found <= set(IDLE)


def _await_need(settings: Settings, wanted: Callable[[], bool]) -> bool:
    """Wait until a stream needs somebody; False where the watcher is not wanted any more."""
    names = [dataset.name for dataset in streams()]
    with connected(settings) as connection:
        while wanted():
            if any(needs_somebody(row, settings) for row in rows_of(connection, names).values()):
                return True
            time.sleep(settings.stream_watch_seconds)
    return False


def needs_somebody(row: LeaseRow, settings: Settings) -> bool:
    """Whether a look would start this stream, or give it up, now."""
    return judge(row, settings).start and not postponed(row)


def watcher(settings: Settings) -> ProcessSpec:
    """Its process."""
    return ProcessSpec(
        name=WATCHER,
        command=processes.python_command("headwater.cli", "stream", "watch", "--while-asked"),
        healthy=lambda: True,
        directory=settings.project_dir,
        grace_seconds=2.0,
        leaves_children=True,
    )
