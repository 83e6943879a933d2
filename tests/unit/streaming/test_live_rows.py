"""Rows of bronze as rows of a live table."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from headwater.contracts.layers import live_columns
from headwater.contracts.loader import load_contracts, load_dataset
from headwater.contracts.model import Kind
from headwater.streaming.live_rows import LiveRows

MONEY = pa.decimal128(10, 2)
TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    {"event_id": pa.string(), "event_type": pa.string(), "event_timestamp": TIME, "source_system": pa.string()}
    | {"schema_version": pa.int32()}
    | dict.fromkeys(("household_id", "store_id", "basket_id", "product_id", "quantity"), pa.int64())
    | dict.fromkeys(("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc"), MONEY)
    | {"week": pa.int32(), "_kafka_partition": pa.int32(), "_kafka_offset": pa.int64(), "_ingested_at": TIME}
    | {"_error": pa.string()}
)
SALE: dict[str, Any] = {
    "event_id": "1-2",
    "event_type": "sale",
    "event_timestamp": datetime(2017, 5, 3, 23, 59, 59, tzinfo=UTC),
    "source_system": "pos",
    "schema_version": 1,
    **dict.fromkeys(("household_id", "store_id", "basket_id", "product_id", "quantity"), 1),
    **dict.fromkeys(("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc"), Decimal("1.10")),
    "week": 7,
    "_kafka_partition": 3,
    "_kafka_offset": 8,
    "_ingested_at": datetime(2026, 1, 1, tzinfo=UTC),
    "_error": None,
}


@pytest.fixture(scope="module")
def rows() -> LiveRows:
    return LiveRows(load_dataset("transactions"))


def taken(rows: LiveRows, *records: dict[str, Any]) -> list[dict[str, Any]]:
    return rows.accepted(pa.RecordBatch.from_pylist(list(records), SCHEMA)).to_pylist()


def test_has_the_columns_of_the_live_table_in_order(rows: LiveRows):
    found = taken(rows, SALE)[0]
    assert list(found) == [column.name for column in live_columns(load_dataset("transactions"))]
    assert found["sales_value"] == Decimal("1.10")


def test_derives_in_utc(rows: LiveRows):
    found = taken(rows, SALE)[0]
    assert found["transaction_timestamp"] == SALE["event_timestamp"]
    assert found["transaction_date"] == date(2017, 5, 3)


@pytest.mark.parametrize(
    "fault",
    [
        {"_error": "undecodable_avro"},
        {"quantity": -1},
        {"household_id": None},
        {"event_timestamp": datetime(2099, 12, 31, tzinfo=UTC)},
    ],
    ids=["unreadable", "negative", "null", "future"],
)
def test_leaves_out_what_silver_would_refuse(rows: LiveRows, fault: dict[str, Any]):
    assert taken(rows, {**SALE, **fault}, {**SALE, "event_id": "good"})[0]["event_id"] == "good"
    assert len(taken(rows, {**SALE, **fault})) == 0


def test_cleanses_text_as_silver_does(rows: LiveRows):
    found = taken(rows, {**SALE, "source_system": " pos\t", "event_type": " \n"})[0]
    assert (found["source_system"], found["event_type"]) == ("pos", None)
    assert taken(rows, {**SALE, "event_id": "  "}) == []


def test_a_part_of_the_key_is_never_null():
    original = load_dataset("transactions")
    lax = replace(original, row_rules=())
    assert taken(LiveRows(lax), {**SALE, "product_id": None}) == []


def test_of_rows_with_one_key_the_later_offset_comes_last(rows: LiveRows):
    later, sooner = ({**SALE, "_kafka_offset": offset} for offset in (9, 4))
    assert [found["_kafka_offset"] for found in taken(rows, later, sooner)] == [4, 9]


def test_a_column_that_bronze_does_not_have_yet_is_null(rows: LiveRows):
    without = pa.RecordBatch.from_pylist([SALE], SCHEMA).drop_columns(["source_system"])
    assert rows.accepted(without).to_pylist()[0]["source_system"] is None


def test_every_live_table_is_sorted_by_the_key_alone():
    """Rows collapse onto the sorting key: with another column in it, a correction of that column counts twice."""
    live = [(dataset, dataset.live) for dataset in load_contracts().of_kind(Kind.STREAM) if dataset.live is not None]
    assert live
    for dataset, table in live:
        assert set(table.order_by) == set(dataset.primary_key), dataset.name
        assert table.engine == "ReplacingMergeTree(_ingested_at)", dataset.name
