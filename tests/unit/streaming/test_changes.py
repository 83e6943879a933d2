"""What is read out of the schemas of change events; how they are decoded is in tests/integration/streaming."""

from __future__ import annotations

import pytest
from tests.envelopes import COLUMNS, DATASETS, DATE, MICROS, envelope_schema

from headwater.contracts.loader import load_file
from headwater.contracts.model import Column
from headwater.contracts.types import Decimal, Primitive
from headwater.streaming.changes import as_sql, does_not_fit, row_fields, source_field, unlike

ACCOUNTS = load_file(DATASETS / "accounts" / "accounts.yaml")


def test_the_row_is_found_where_it_is_only_named() -> None:
    assert row_fields(envelope_schema()) == COLUMNS


@pytest.mark.parametrize("schema", ["string", {"type": "record", "name": "Key", "fields": []}])
def test_what_is_no_envelope_has_no_row(schema: object) -> None:
    assert row_fields(schema) is None


def test_the_contract_is_like_its_source() -> None:
    assert unlike(ACCOUNTS, {7: envelope_schema()}) == []
    assert unlike(ACCOUNTS, {}) == []


def test_what_the_source_has_now_is_told() -> None:
    changed = {name: kind for name, kind in COLUMNS.items() if name != "balance"} | {"phone": "string"}
    told = unlike(ACCOUNTS, {7: envelope_schema(), 9: envelope_schema(changed)})
    assert told == [
        "the source has phone, which the contract does not have: left out",
        "the source does not have balance: null from now on",
    ]


def test_a_renamed_column_is_found_by_either_name() -> None:
    owner = ACCOUNTS.column("owner")
    assert source_field(owner, {"owner_name": "string", "owner": "string"}) == "owner_name"
    assert source_field(owner, {"owner": "string"}) == "owner"
    assert source_field(owner, {"holder": "string"}) is None


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("long", "v"),
        (["null", DATE], "date_from_unix_date(v)"),
        (MICROS, "timestamp_micros(v)"),
        ({"type": "string", "connect.name": "io.debezium.time.ZonedTimestamp"}, "try_cast(v AS timestamp)"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "v"),
        ({"type": "string", "connect.name": "io.debezium.data.Uuid"}, "v"),
    ],
)
def test_types_mean_what_connect_calls_them(kind: object, sql: str) -> None:
    assert as_sql("v", kind) == sql


def test_a_value_that_would_be_cut_does_not_fit() -> None:
    amount = Column("amount", Decimal(12, 2))
    assert does_not_fit("v", "k", amount, ["null", "string"]).endswith("NOT (k <=> try_cast(v AS decimal(38,18)))")
    assert does_not_fit("v", "k", Column("n", Primitive.INT), "long").endswith("NOT (k <=> v)")
    assert "<=> v)" not in does_not_fit("v", "k", Column("t", Primitive.STRING), "string")


def test_a_name_that_avro_does_not_allow_is_found() -> None:
    column = Column("first_name", Primitive.STRING, source_name="First Name")
    assert source_field(column, {"First_Name": "string"}) == "First_Name"
    assert source_field(Column("x", Primitive.INT, source_name="1st"), {"_1st": "int"}) == "_1st"
