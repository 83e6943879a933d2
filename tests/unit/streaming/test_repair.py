"""One record tried once more: bytes, patch and rules."""

import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from tests.streams import sale, schema_with
from tests.unit.streaming.test_live_rows import SCHEMA

from headwater.contracts.avro import avro_schema
from headwater.contracts.loader import load_dataset
from headwater.streaming.repair import Repair, tried
from headwater.streaming.writers import reader_schema

SALES = load_dataset("transactions")
AVRO = avro_schema(SALES)
COLUMNS = pa.schema([*SCHEMA, pa.field("_attempt", pa.int32()), pa.field("_raw", pa.binary())])


def body(record: dict[str, Any], schema: dict[str, Any] = AVRO) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, schema, record)
    return buffer.getvalue()


def framed(record: dict[str, Any], schema_id: int = 7, schema: dict[str, Any] = AVRO) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + body(record, schema)


def unread(raw: bytes | None) -> dict[str, Any]:
    place = {"_kafka_partition": 0, "_kafka_offset": 4, "_ingested_at": datetime(2026, 1, 1, tzinfo=UTC)}
    return dict.fromkeys(COLUMNS.names) | place | {"_attempt": 0, "_error": "whatever", "_raw": raw}


def outcome(repair: Repair, raw: bytes | None) -> Any:
    (one,) = tried(repair, [unread(raw)], COLUMNS)
    return one


def by_registry(writers: dict[int, Any] | None = None, **others: Any) -> Repair:
    known = {7: AVRO} if writers is None else writers
    return Repair(SALES, reader_schema(AVRO, known), known, **others)


def test_a_record_whose_schema_is_known_by_now_lands_as_the_next_attempt():
    found = outcome(by_registry(), framed(sale(5)))
    assert found.reasons == ()
    assert {name: found.row[name] for name in sale(5)} == sale(5)
    assert (found.row["_attempt"], found.row["_error"], found.row["_raw"], found.row["_kafka_offset"]) == (
        1,
        None,
        None,
        4,
    )


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "empty_value"),
        (b"", "empty_value"),
        (b"{}", "bad_magic_byte"),
        (b"\0\0\0", "too_short"),
        (framed(sale(5), 8), "unknown_schema_id: 8"),
        (framed(sale(5))[:20], "undecodable_avro"),
        (framed(sale(5)) + b"!", "undecodable_avro: 1 bytes are left over behind the record"),
        (b"\0\0\0\0\x07" + b"\xff" * 40, "undecodable_avro"),
    ],
)
def test_what_still_cannot_be_read_says_why_in_bronzes_words(raw: bytes | None, reason: str):
    found = outcome(by_registry(), raw)
    assert found.row is None
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith(reason)


def test_readable_is_not_enough():
    found = outcome(by_registry(), framed(sale(5, quantity=-2, week=60)))
    assert (found.row, found.reasons) == (None, ("quantity_minimum", "week_maximum"))


def test_the_patch_applies_to_what_was_decoded():
    found = outcome(by_registry(patch={"quantity": 2, "sales_value": Decimal("9.99")}), framed(sale(5, quantity=-2)))
    assert (found.row["quantity"], found.row["sales_value"], found.row["week"]) == (2, Decimal("9.99"), 9)


@pytest.mark.parametrize("raw", [body(sale(5)), framed(sale(5), 99)], ids=["unframed", "unknown id"])
def test_a_chosen_schema_reads_what_the_header_does_not_name(raw: bytes):
    found = outcome(Repair(SALES, AVRO, chosen=AVRO), raw)
    assert (found.reasons, found.row and found.row["event_id"]) == ((), "5-1")


def test_a_chosen_schema_that_does_not_fit_is_found_out():
    shorter = {**AVRO, "fields": AVRO["fields"][:-1]}
    assert outcome(Repair(SALES, AVRO, chosen=shorter), framed(sale(5))).row is None


def test_a_producer_ahead_of_the_contract_waits_for_its_column():
    ahead = schema_with(AVRO, {"name": "till", "type": ["null", "int"], "default": None})
    repair = by_registry({7: ahead})
    assert outcome(repair, framed({**sale(5), "till": 3}, schema=ahead)).reasons == (
        "bronze has no column till yet: the stream's next batch adds it",
    )
    assert outcome(repair, framed({**sale(5), "till": None}, schema=ahead)).row is not None


def test_rows_are_judged_apart():
    rows = [unread(framed(sale(1))), unread(b"x"), unread(framed(sale(3, quantity=-1))), unread(framed(sale(4)))]
    assert [one.reasons for one in tried(by_registry(), rows, COLUMNS)] == [
        (),
        ("bad_magic_byte",),
        ("quantity_minimum",),
        (),
    ]


def test_a_readable_row_is_taken_as_it_is():
    row = dict.fromkeys(COLUMNS.names) | sale(5, quantity=-1) | {"_attempt": 2, "_kafka_offset": 4}
    row |= {"_ingested_at": datetime(2026, 1, 1, tzinfo=UTC)}
    (before,) = tried(Repair(SALES, AVRO), [row], COLUMNS)
    (after,) = tried(Repair(SALES, AVRO, patch={"quantity": 1}), [row], COLUMNS)
    assert (before.row, before.reasons) == (None, ("quantity_minimum",))
    assert (after.row["quantity"], after.row["_attempt"], after.row["event_id"]) == (1, 3, "5-1")
