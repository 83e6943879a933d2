"""Fault 11: a schema id the registry does not know, and a registry that is down.

The first goes to quarantine; the second pauses the stream, which tries again, and nothing is quarantined.
"""

import threading

import pytest
from pyspark.sql import SparkSession
from tests.conftest import free_port_base
from tests.forwarding import forwarding
from tests.streams import StreamCase, committed_rows, sale, stream_case, tend_until

from headwater.settings import Settings
from headwater.streaming.lease_rows import Wanted, read_rows, want
from headwater.streaming.runner import StreamRunner

pytestmark = [pytest.mark.integration, pytest.mark.fault]

UNKNOWN = 0x7FFFFFF0


def test_waits_for_the_registry_and_quarantines_nothing(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    case.sales(*range(10))
    port = free_port_base()
    runner = StreamRunner(spark, through(stack, port), case.dataset, once=True)

    tend_until(runner, lambda: runner.heartbeat.state == "waiting")
    assert "registry" in runner.heartbeat.reason
    assert case.bronze() == []

    with forwarding(port, stack.registry_port):
        tend_until(runner, lambda: runner.ended)
    assert (runner.heartbeat.state, runner.error) == ("finished", None)
    assert [row["_error"] for row in case.bronze("_error")] == [None] * 10


def test_a_registry_lost_in_the_middle_is_waited_for_and_only_the_unknown_id_is_quarantined(
    stack: Settings, spark: SparkSession
):
    """What cannot be decoded while nobody can be asked is not yet wrong: the id may have been registered meanwhile."""
    case = stream_case(stack)
    port = free_port_base()
    runner = StreamRunner(spark, through(stack, port), case.dataset, once=False)
    try:
        with forwarding(port, stack.registry_port):
            case.sales(1)
            tend_until(runner, lambda: committed_rows(case) == 1)
        lost = case.framed(sale(2), schema_id=UNKNOWN)
        case.produce(lost, case.framed(sale(3)))
        tend_until(runner, lambda: runner.heartbeat.state == "waiting")
        assert committed_rows(case) == 1

        with forwarding(port, stack.registry_port):
            tend_until(runner, lambda: committed_rows(case) == 3)
    finally:
        runner.stop()

    found = [(row["event_id"], row["_error"], row["_schema_id"]) for row in rows_of(case)]
    good = [(f"{n}-1", None, case.schema_id) for n in (1, 3)]
    assert found == [good[0], (None, "unknown_schema_id", UNKNOWN), good[1]]
    assert [row["_raw"] for row in rows_of(case)] == [None, lost, None]
    line = case.ledger(exact=True).partitions[0]
    assert (line.read, line.quarantined, line.unaccounted) == (2, 1, 0)


def test_a_drain_does_not_wait_for_the_registry(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    case.sales(1)
    runner = StreamRunner(spark, through(stack, free_port_base()), case.dataset, once=False)
    tend_until(runner, lambda: runner.heartbeat.state == "waiting")
    want(stack, [case.dataset.name], Wanted.DRAINED)

    tending = threading.Thread(target=tend_until, args=(runner, lambda: runner.ended), daemon=True)
    tending.start()
    tending.join(90)

    assert not tending.is_alive(), "it waits for a batch that waits for the registry"
    assert (runner.heartbeat.state, runner.heartbeat.reason, runner.error) == ("stopped", "", None)
    row = read_rows(stack, [case.dataset.name])[case.dataset.name]
    assert (row.wanted, row.held, row.state) == ("drained", False, "stopped")
    assert case.bronze() == []
    case.read_once(spark)
    assert case.places() == [(0, 0)], "what it had begun is read by the next"


def rows_of(case: StreamCase) -> list[dict[str, object]]:
    return case.bronze("_kafka_partition", "_kafka_offset", "event_id", "_error", "_schema_id", "_raw")


def through(settings: Settings, port: int) -> Settings:
    """The settings with the registry at this port."""
    path = settings.registry_url.split("/", 3)[3]
    return settings.model_copy(update={"registry_url": f"http://127.0.0.1:{port}/{path}"})
