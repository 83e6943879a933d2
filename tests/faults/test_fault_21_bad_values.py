"""Fault 21: not a number, a negative quantity, a date in 2099, a null key, a 4-byte emoji, a string of 10 MB.

By the contract: refused and listed with the failed rule, or stored unharmed. What an analyst reads of it is in
tests/datasets/readings/bad_values; here the whole values are compared, byte by byte.
"""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

import pytest
from tests.datasets.cases import FOLDER, Lake
from tests.integration.lake.sales import ARRIVED
from tests.streams import stream_case

from headwater.contracts.iceberg import ensure_tables
from headwater.lake.silver import build
from headwater.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.fault]

TEN_MEGABYTES = "naïve 🍏 " * 1_000_000
BAD = {
    "amount_number": {"amount": math.nan},
    "amount_minimum": {"amount": -1.0},
    "event_timestamp_maximum": {"event_timestamp": "2099-12-31 00:00:00"},
    "sensor_required": {"sensor": None},
}


def test_bad_values_are_refused_by_rule_and_odd_ones_unharmed(lake: Lake) -> None:
    dataset = lake.dataset("readings", "fault_21_readings", Path(FOLDER / "readings"))
    odd = [reading("emoji 🧑‍🌾", 0, note="🍏"), reading("long", 1, note=f"<{TEN_MEGABYTES}>")]
    bad = [reading(f"bad {n}", 10 + n, **values) for n, values in enumerate(BAD.values())]
    lake.arrive(dataset, odd + bad)
    result = build(lake.spark, lake.catalog, dataset)
    assert (result["rows_read"], result["rows"], result["rows_refused"]) == (6, 2, 4)
    stored = {row["sensor"]: row["note"] for row in lake.rows(f"silver.{dataset.name}", "sensor, note")}
    assert stored == {"emoji 🧑‍🌾": "🍏", "long": f"<{TEN_MEGABYTES}>"}
    refused = lake.rows(f"silver.{dataset.name}_refused", "_kafka_offset AS at, _rule AS rules")
    assert {row["at"]: row["rules"] for row in refused} == {10 + n: [rule] for n, rule in enumerate(BAD)}


def test_the_same_values_through_avro_and_kafka(stack: Settings, lake: Lake) -> None:
    """The long text is beyond 10 MB as a record; the record without a key is read as any other."""
    case = stream_case(stack, FOLDER / "readings" / "readings.yaml")
    ensure_tables(lake.catalog, case.dataset)
    odd = [event("emoji 🧑‍🌾", note="🍏"), event("long", note=f"<{TEN_MEGABYTES}>")]
    bad = [event(f"bad {rule}", **values) for rule, values in BAD.items() if rule != "sensor_required"]
    values = [case.framed(record) for record in odd + bad]
    assert len(values[1]) > 10_000_000
    case.produce(*values[:-1])
    case.produce(values[-1], key=None)

    case.read_once(lake.spark)

    arrived = case.bronze("sensor", "note", "_error", "_kafka_key")
    assert [row["_error"] for row in arrived] == [None] * 5
    assert {row["sensor"]: row["note"] for row in arrived[:2]} == {r["sensor"]: r["note"] for r in odd}
    assert [row["_kafka_key"] for row in arrived] == [b"7"] * 4 + [None]
    result = build(lake.spark, lake.catalog, case.dataset)
    assert (result["rows_read"], result["rows"], result["rows_refused"]) == (5, 2, 3)
    stored = {row["sensor"]: row["note"] for row in lake.rows(f"silver.{case.dataset.name}", "sensor, note")}
    assert stored == {record["sensor"]: record["note"] for record in odd}
    refused = lake.rows(f"silver.{case.dataset.name}_refused", "sensor, _rule AS rules")
    assert {row["sensor"]: row["rules"] for row in refused} == {r["sensor"]: [r["sensor"].split()[1]] for r in bad}
    assert case.ledger(exact=True).unaccounted == 0


def event(sensor: str, /, **values: object) -> dict[str, object]:
    """A reading as its producer sends it."""
    when = values.pop("event_timestamp", "2025-12-31 10:00:00")
    head = {"event_id": sensor, "event_type": "reading", "source_system": "tests", "schema_version": 1}
    moment = dt.datetime.fromisoformat(f"{when}+00:00")
    return {**head, "event_timestamp": moment, "sensor": sensor, "amount": 1.5, "note": None, **values}


def reading(sensor: str, offset: int, /, **values: object) -> dict[str, object]:
    row = {
        "event_id": f"{sensor}-{offset}",
        "event_timestamp": "2025-12-31 10:00:00",
        "sensor": sensor,
        "amount": 1.5,
        "_kafka_topic": "tests.readings",
        "_kafka_partition": 0,
        "_kafka_offset": offset,
        "_ingested_at": ARRIVED,
        "_attempt": 0,
    }
    return row | values
