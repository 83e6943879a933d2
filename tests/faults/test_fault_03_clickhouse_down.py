"""Fault 3: ClickHouse is killed while the streaming application runs. Bronze goes on; the live table catches up."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import environment
from tests.streams import StreamCase, await_rows, own_project, stream_case

from headwater.embedded import processes
from headwater.embedded import stack as embedded
from headwater.settings import Settings
from headwater.streaming import supervision
from headwater.warehouse.client import writer

pytestmark = [pytest.mark.integration, pytest.mark.fault]


@pytest.fixture
def case(stack: Settings, tmp_path: Path) -> Iterator[StreamCase]:
    """A stream that the application reads, its follower included. ClickHouse is up again afterwards."""
    made = stream_case(stack)
    own_project(made, tmp_path)
    with environment(HEADWATER_PROJECT_DIR=str(tmp_path), HEADWATER_HOME=str(stack.home)):
        try:
            supervision.start(wait_seconds=240)
            yield made
        finally:
            supervision.stop()
            bring_clickhouse_back()


def bring_clickhouse_back() -> None:
    """For the tests that follow as well: from the real project, whose policy it reads at its start."""
    with environment(HEADWATER_PROJECT_DIR=None):
        embedded.up(("clickhouse",), print)


def live_rows(case: StreamCase) -> tuple[int, int]:
    """Rows of the live table as stored, and as a query with FINAL sees them."""
    with writer() as client:
        name = f"live.{case.dataset.name}"
        return tuple(client.query(f"SELECT count() FROM {name}{final}").result_rows[0][0] for final in ("", " FINAL"))


def follower_state() -> str:
    return str(supervision.statuses()[0].heartbeat.get("live", {}).get("state"))


def await_that(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, supervision.statuses()
        time.sleep(0.2)


def test_bronze_goes_on_without_clickhouse_and_the_live_table_catches_up(case: StreamCase) -> None:
    case.sales(*range(5))
    await_rows(case, 5)
    await_that(lambda: follower_state() == "following" and live_rows(case) == (5, 5))

    endpoint = processes.find(case.settings, "clickhouse")
    assert endpoint is not None
    os.kill(endpoint.pid, signal.SIGKILL)
    assert not processes.await_end([endpoint.process], 20)
    case.sales(*range(5, 9))
    await_rows(case, 9)
    await_that(lambda: follower_state() == "retrying")
    case.sales(*range(9, 12))
    await_rows(case, 12)
    assert supervision.statuses()[0].state == "running", "the stream itself is not touched by it"
    assert processes.find(case.settings, "clickhouse") is None, "ClickHouse was down all the while"

    bring_clickhouse_back()
    await_that(lambda: follower_state() == "following" and live_rows(case) == (12, 12))
    assert case.ledger(exact=True).unaccounted == 0
