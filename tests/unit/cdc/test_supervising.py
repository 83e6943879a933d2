"""What the supervisor makes of what it sees of worker, connector, slot and heartbeat; and how long it waits."""

import socket
from datetime import UTC, datetime, timedelta

import pytest

from headwater.cdc import supervising
from headwater.cdc.restarts import Restarts
from headwater.cdc.status import Slot
from headwater.cdc.supervising import Seen, judge
from headwater.cdc.worker import State
from headwater.settings import Settings
from headwater.streaming.pauses import LONGEST_PAUSE_SECONDS, pause_after, postponed

RUNNING = State("RUNNING", ("RUNNING",))
FAILED = State("RUNNING", ("FAILED",), "a.Exception: no\n\tat b\nCaused by: c.Exception: no disk")
SLOT = Slot("headwater_source", True, 0, 0, "reserved")
SETTINGS = Settings(stream_stall_seconds=300.0)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def verdict(settings=SETTINGS, **seen):
    found = judge(Seen(**{"state": RUNNING, "slot": SLOT, "heartbeat": 2.0, **seen}), settings)
    return found.condition, found.start, found.over


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({}, ("running", False, False)),
        ({"state": None}, ("not applied", False, False)),
        ({"state": State("STOPPED", ())}, ("stopped", False, False)),
        ({"state": State("PAUSED", ("PAUSED",))}, ("stopped", False, False)),
        ({"state": State("RUNNING", ())}, ("starting", False, False)),
        ({"state": State("UNASSIGNED", ("UNASSIGNED",))}, ("starting", False, False)),
        ({"state": FAILED}, ("failed", True, False)),
        ({"state": State("FAILED", ())}, ("failed", True, False)),
        ({"worker": "it does not answer", "state": None}, ("no worker", True, False)),
    ],
)
def test_what_has_failed_or_is_lost_is_started_and_nothing_else(seen, expected):
    assert verdict(**seen) == expected


def test_what_a_restart_would_lack_is_waited_for():
    found = judge(Seen(state=FAILED, slot=SLOT, lacks="the source: it is away"), SETTINGS)
    assert not found.start
    assert found.reason == "c.Exception: no disk; a new start would lack the source: it is away"


@pytest.mark.parametrize("slot", [None, Slot("headwater_source", False, 0, 0, "lost")])
def test_a_lost_slot_is_no_case_for_a_restart(slot):
    assert verdict(state=FAILED, slot=slot) == ("failed", False, True)
    assert verdict(state=FAILED, slot=slot, snapshot=True) == ("failed", True, False), "it has yet to make its slot"


def test_a_worker_of_others_is_told_and_not_started():
    others = Settings(connect_url="http://connect:8083")
    assert verdict(others, worker="it does not answer") == ("no worker", False, False)


def test_a_connector_that_stands_still_is_started_again_but_never_in_its_first_snapshot():
    assert verdict(heartbeat=301.0) == ("stalled", True, False)
    assert verdict(heartbeat=301.0, snapshot=True) == ("running", False, False)
    assert verdict(heartbeat=None) == ("running", False, False)
    assert verdict(heartbeat=301.0, lacks="the source: it is away") == ("running", False, False)


def test_pauses_double_up_to_a_bound():
    pauses = [
        pause_after(Restarts("c", restarts), Settings(stream_restart_pause_seconds=30.0)).total_seconds()
        for restarts in range(8)
    ]
    assert pauses == [30, 60, 120, 240, 480, 960, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]


def test_a_restart_waits_until_it_is_due():
    assert postponed(Restarts("c")) == ""
    assert postponed(Restarts("c", 1, NOW, NOW + timedelta(seconds=1), now=NOW)).endswith("due at 00:00:01 UTC")
    assert postponed(Restarts("c", 1, NOW, NOW, now=NOW)) == ""


def test_it_is_well_again_only_some_time_after_a_restart():
    restarted = Restarts("c", 1, NOW, now=NOW + timedelta(seconds=900))
    assert (restarted.well_since(899), restarted.well_since(900), Restarts("c").well_since(0)) == (True, False, False)


def test_a_broker_and_a_registry_that_are_away_are_lacked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(supervising, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{port}", registry_url=f"http://127.0.0.1:{port}")
    assert supervising._broker_fault(settings).startswith("the broker: ")
    assert supervising._registry_fault(settings).startswith("the registry: ConnectError at ")
