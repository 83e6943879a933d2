"""Whom the watcher helps, and how the DAG keeps it."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from tests.conftest import environment
from tests.streams import await_that

from headwater.embedded import processes
from headwater.settings import Settings, get_settings
from headwater.streaming import watching
from headwater.streaming.lease_rows import LeaseRow, Wanted

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WELL = LeaseRow(
    "sales",
    token=7,
    held=True,
    host=socket.gethostname(),
    pid=os.getpid(),
    process_started=psutil.Process().create_time(),
    expires_at=NOW + timedelta(seconds=10),
    beat_at=NOW,
    state="running",
    now=NOW,
)
KILLED = replace(WELL, process_started=1.0)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (WELL, False),
        (KILLED, True),
        (replace(KILLED, restarts=1, restart_due=NOW + timedelta(seconds=1)), False),
        (replace(KILLED, restarts=1, restart_due=NOW - timedelta(seconds=1)), True),
        (replace(KILLED, given_up="enough"), False),
        (replace(KILLED, wanted=Wanted.STOPPED), False),
        (replace(WELL, held=False, state="failed"), False),
        (replace(WELL, expires_at=NOW - timedelta(seconds=1)), True),
        (LeaseRow("sales", now=NOW), True),
    ],
)
def test_who_needs_somebody(row: LeaseRow, expected: bool):
    assert watching.needs_somebody(row, Settings()) is expected


@pytest.mark.parametrize(
    ("did", "expected"),
    [(["", "waits"], True), (["waits"], True), ([""], False), ([], False), (["waits", "restarted"], False)],
)
def test_a_look_that_could_help_nobody(did: list[str], expected: bool):
    assert watching.could_do_nothing(did) is expected


@pytest.fixture
def home(tmp_path) -> Iterator[Settings]:
    """A home without Postgres: the watcher waits for it."""
    with environment(HEADWATER_HOME=str(tmp_path), HEADWATER_STREAM_WATCH_SECONDS="0.1"):
        yield get_settings()
        processes.stop(get_settings(), watching.watcher(get_settings()))


def test_a_watcher_is_kept_and_one_with_older_code_replaced(home: Settings, monkeypatch):
    first = watching.keep(home)
    assert first["did"] == "started"
    assert watching.keep(home) | {"seconds": 0} == {"pid": first["pid"], "seconds": 0, "did": ""}

    monkeypatch.setattr(watching, "newest_source", lambda: psutil.Process(first["pid"]).create_time() + 1)
    second = watching.keep(home)
    assert second["did"] == "started anew"
    assert second["pid"] != first["pid"]
    running = processes.find(home, processes.WATCHER)
    assert running is not None
    assert running.pid == second["pid"]

    running.process.kill()
    await_that(lambda: not processes.alive(running.process), "it is gone")
    assert watching.keep(home)["did"] == "started"


def test_a_watcher_that_nobody_asks_for_ends(home: Settings):
    watching.keep(home)
    running = processes.find(home, processes.WATCHER)
    assert running is not None
    log = processes.log_file(home, processes.WATCHER)
    await_that(lambda: "Postgres does not answer" in log.read_text(), "it looks")
    assert log.read_text().count("Postgres does not answer") == 1, "it says so once"

    long_ago = datetime.now().timestamp() - watching.ASKED_SECONDS - 1
    os.utime(watching.asked_file(home), (long_ago, long_ago))

    await_that(lambda: not processes.alive(running.process), "it has ended")
