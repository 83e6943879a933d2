"""The verdict on a stream, from its lease's row alone."""

import os
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from headwater.settings import Settings
from headwater.streaming.health import Verdict, forgiven, judge
from headwater.streaming.heartbeat import Heartbeat
from headwater.streaming.lease_rows import LeaseRow, Wanted
from headwater.streaming.pauses import pause_after, postponed
from headwater.streaming.supervision import StreamStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = Settings(stream_stall_seconds=60, stream_restart_pause_seconds=30, stream_restart_forgiven_seconds=900)
HERE = {"host": socket.gethostname(), "pid": os.getpid(), "process_started": psutil.Process().create_time()}
GONE = {**HERE, "process_started": 1.0}


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


WELL = LeaseRow(
    "sales",
    token=7,
    held=True,
    **HERE,
    expires_at=ago(-10),
    beat_at=ago(1),
    state="running",
    report={"lag": {"0": 0}},
    now=NOW,
)


def stalled(seconds: float, **changes: object) -> LeaseRow:
    told = {"stalled_since": ago(seconds).isoformat(), "heartbeat_at": NOW.isoformat(), "lag": {"0": 3, "1": 4}}
    return replace(WELL, report=told, **changes)


def actions(verdict: Verdict) -> tuple[str, bool, bool, bool, bool]:
    return verdict.condition, verdict.sick, verdict.start, verdict.end, verdict.counts


LEFT_ALONE = (False, False, False, False)
RESTARTED = (True, True, True, True)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (WELL, ("running", *LEFT_ALONE)),
        (stalled(59), ("running", *LEFT_ALONE)),
        (stalled(61), ("stalled", *RESTARTED)),
        (stalled(61, state="waiting"), ("stalled", True, False, False, False)),
        (replace(WELL, beat_at=ago(61)), ("mute", *RESTARTED)),
        (replace(WELL, expires_at=ago(1)), ("mute", *RESTARTED)),
        (replace(WELL, **GONE), ("dead", True, True, False, True)),
        (replace(WELL, host="elsewhere", expires_at=ago(1)), ("dead", True, True, False, True)),
        (replace(WELL, host="elsewhere"), ("running", *LEFT_ALONE)),
        (replace(WELL, held=False, state="failed", reason="gone"), ("failed", True, False, False, False)),
        (replace(WELL, held=False, state="stopped"), ("stopped", False, True, False, False)),
        (replace(WELL, held=False, state="stopped", wanted=Wanted.STOPPED), ("stopped", *LEFT_ALONE)),
        (replace(WELL, **GONE, wanted=Wanted.DRAINED), ("stopped", *LEFT_ALONE)),
        (replace(WELL, state="draining", wanted=Wanted.DRAINED), ("draining", *LEFT_ALONE)),
        (stalled(999, given_up="enough"), ("given up", True, False, False, False)),
        (LeaseRow("sales"), ("never started", False, True, False, False)),
    ],
)
def test_what_a_row_says(row: LeaseRow, expected: tuple[str, bool, bool, bool, bool]):
    assert actions(judge(row, SETTINGS)) == expected


def test_a_stall_says_how_long_and_how_far_behind():
    assert judge(stalled(61), SETTINGS).reason == "no progress for 61 s with a lag of 7"


def test_each_restart_waits_twice_as_long_as_the_last():
    assert [pause_after(replace(WELL, restarts=n), SETTINGS).total_seconds() for n in (0, 1, 2, 9)] == [
        30,
        60,
        120,
        1800,
    ]
    assert postponed(WELL) == ""
    assert postponed(replace(WELL, restarts=2, restart_due=ago(1))) == ""
    assert "2 times; the next is due at 12:00:30" in postponed(replace(WELL, restarts=2, restart_due=ago(-30)))


@pytest.mark.parametrize(
    ("restarts", "since", "row", "expected"),
    [
        (1, 901, WELL, True),
        (1, 899, WELL, False),
        (0, 901, WELL, False),
        (1, 901, stalled(61), False),
        (1, 901, replace(WELL, **GONE), False),
    ],
)
def test_a_stream_that_was_well_for_long_has_its_whole_budget_again(restarts, since, row, expected):
    row = replace(row, restarts=restarts, restarted_at=ago(since))
    assert forgiven(row, judge(row, SETTINGS), SETTINGS) is expected


def test_a_stream_is_as_fresh_as_what_it_has_caught_up_with():
    beat = Heartbeat("sales", offsets={0: 5})
    beat.behind({0: 5, 1: 0}, NOW.isoformat())
    assert beat.complete_at
    beat.complete_at = "then"
    beat.behind({0: 9, 1: 2}, NOW.isoformat())
    beat.behind({0: 12, 1: 2}, NOW.isoformat())
    beat.offsets = {0: 9, 1: 1}
    beat.behind({0: 14, 1: 3}, NOW.isoformat())
    assert beat.complete_at == "then", "one partition lacks a record"
    (first, _), (second, _), *_ = beat.awaited
    beat.offsets = {0: 12, 1: 2}
    beat.behind({0: 15, 1: 3}, NOW.isoformat())
    assert beat.complete_at == second
    assert first <= second
    assert "awaited" not in beat.facts()
    beat.offsets = {0: 15, 1: 3}
    beat.behind({0: 15, 1: 3}, NOW.isoformat())
    assert beat.awaited == []


def test_a_status_tells_lease_heartbeat_progress_lag_and_freshness():
    report = {
        "lag": {"0": 3, "1": 4},
        "last_progress_at": ago(3).isoformat(),
        "complete_at": ago(5).isoformat(),
        "heartbeat_at": ago(1).isoformat(),
    }
    facts = StreamStatus(replace(WELL, report=report, restarts=2)).facts()
    ages = [facts[name] for name in ("heartbeat_age", "progress_age", "freshness", "lag_total", "restarts")]
    assert ages == [1.0, 3.0, 5.0, 7, 2]
    assert facts["lease"] == {
        "token": 7,
        "holder": f"process {os.getpid()} on {socket.gethostname()}",
        "held": True,
        "expires_at": ago(-10),
    }
    never = StreamStatus(LeaseRow("sales")).facts()
    assert [never[name] for name in ("heartbeat_age", "progress_age", "freshness")] == [None] * 3


def test_a_stall_begins_with_lag_and_ends_with_progress():
    beat = Heartbeat("sales", offsets={0: 5})
    beat.behind({0: 5}, NOW.isoformat())
    assert beat.stalled_since == ""
    beat.behind({0: 9}, NOW.isoformat())
    began = beat.stalled_since
    assert began
    beat.behind({0: 12}, NOW.isoformat())
    assert beat.stalled_since == began, "still the same offsets"
    beat.offsets, beat.stalled_since = {0: 9}, "long ago"
    beat.behind({0: 12}, NOW.isoformat())
    assert beat.stalled_since not in ("", "long ago"), "it got on, and is still behind"
    beat.offsets = {0: 12}
    beat.behind({0: 12}, NOW.isoformat())
    assert beat.stalled_since == ""
    assert beat.lag == {0: 0}
    assert "seen" not in beat.facts()
