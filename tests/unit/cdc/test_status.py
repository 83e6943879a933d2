"""What `cdc status` makes of what it was told."""

from datetime import UTC, datetime, timedelta

import pytest

from headwater.cdc.notifications import Notification
from headwater.cdc.restarts import Restarts
from headwater.cdc.status import DatasetStatus, Report, Slot, _said
from headwater.cdc.worker import State

RUNNING = State("RUNNING", ("RUNNING",))
FAILED = State("RUNNING", ("FAILED",), "a.Exception: no\n\tat b\nCaused by: c.Exception: the slot is gone")
SLOT = Slot("headwater_source", True, 1_234, 5_678, "reserved")
ACCOUNTS = DatasetStatus("accounts", "bank.accounts", "accounts.accounts", 3, "2026-01-01 00:00:00", "")


def report(state=RUNNING, slot=SLOT, heartbeat=2.0, **more) -> Report:
    return Report("headwater-source", state, slot, heartbeat, (ACCOUNTS,), **more)


@pytest.mark.parametrize(
    ("found", "good"),
    [
        (report(), True),
        (report(state=None), False),
        (report(state=FAILED), False),
        (report(state=State("RUNNING", ())), False),
        (report(slot=None), False),
        (report(slot=Slot("s", False, 0, 0, "lost")), False),
        (report(lacks=("bank.accounts in the publication headwater_source",)), False),
    ],
)
def test_good_is_what_runs_and_has_its_slot(found, good):
    assert found.good is good
    assert found.as_json()["good"] is good


def test_a_failure_is_told_with_its_cause():
    lines = dict(report(state=FAILED).lines())
    assert lines["task"] == "FAILED"
    assert lines["cause"] == "c.Exception: the slot is gone"


def test_restarts_and_what_was_given_up_are_told():
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    twice = Restarts("headwater-source", 2, at, at + timedelta(seconds=60), "failed: no disk", now=at)
    told = dict(report(restarts=twice).lines())["restarts"]
    assert told.startswith("2 by the supervisor, the last because of: failed: no disk; restarted 2 times")
    assert told.endswith("due at 03:05:05 UTC")
    over = Restarts("headwater-source", 5, at, given_up="given up after 5 restarts", now=at)
    assert dict(report(restarts=over).lines())["restarts"] == "given up after 5 restarts"
    assert "restarts" not in dict(report().lines())


def test_what_the_source_has_lost_is_told_with_the_remedy():
    told = dict(report(lacks=("bank.accounts in the publication p",)).lines())["source"]
    assert told.startswith("lacks: bank.accounts in the publication p → `headwater cdc apply`")


def test_sizes_and_an_old_heartbeat_are_told():
    lines = dict(report(heartbeat=600.0).lines())
    assert lines["slot"] == "headwater_source, in use, 1,234 bytes behind, 5,678 bytes of log kept (reserved)"
    assert lines["heartbeat"] == "600 s ago, late"


def test_what_is_not_there_is_told_with_the_remedy():
    assert report(state=None, slot=None, heartbeat=None).lines() == [
        ("connector", "headwater-source: not there; `headwater cdc apply`")
    ]


def test_the_last_notification_says_how_far_a_snapshot_is():
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    facts = {"total_rows_scanned": "12345", "status": "SUCCEEDED"}
    done = Notification(1, "Initial Snapshot", "TABLE_SCAN_COMPLETED", "bank.accounts", facts, at)
    assert _said(done) == "initial snapshot: 12,345 rows read by 2026-01-02 03:04:05"
    going = Notification(2, "Incremental Snapshot", "IN_PROGRESS", "bank.accounts", {"last_processed_key": "[7]"}, at)
    assert _said(going) == "incremental snapshot: in progress, up to key [7]"
