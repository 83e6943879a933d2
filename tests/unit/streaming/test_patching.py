"""Merge patches on records: RFC 7396, and the contract's types."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from headwater.contracts.loader import load_dataset
from headwater.contracts.types import parse_type
from headwater.streaming.patching import PatchUnfit, as_json, from_json, merge_patch, patched, read_patch

SALES = load_dataset("transactions")


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_the_rfc(target, patch, result):
    assert merge_patch(target, patch) == result


def test_values_come_in_the_contracts_types_and_null_takes_one_away():
    record = {"quantity": -1, "event_type": "sale", "week": 9}
    patch = {
        "quantity": 1,
        "sales_value": Decimal("1.10"),
        "event_timestamp": "2017-03-01T10:00:00",
        "event_type": None,
    }
    assert patched(record, patch, SALES) == {
        "quantity": 1,
        "event_type": None,
        "week": 9,
        "sales_value": Decimal("1.10"),
        "event_timestamp": datetime(2017, 3, 1, 10, tzinfo=UTC),
    }


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("map<string,decimal(4,1)>", [("a", Decimal("1.5")), ("b", None)]),
        ("array<long>", [1, None]),
        ("binary", b"\x00\xff"),
        ("date", datetime(2017, 3, 1).date()),
        ("timestamp", datetime(2017, 3, 1, 10, tzinfo=UTC)),
    ],
)
def test_there_and_back(kind, value):
    there = from_json(as_json(value), parse_type(kind))
    assert there == (dict(value) if kind.startswith("map") else value)


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "{}",
        "nothing",
        '{"quantiti": 1}',
        '{"transaction_date": "2017-03-01"}',
        '{"_attempt": 7}',
        '{"quantity": "1"}',
        '{"quantity": 1.5}',
        '{"quantity": true}',
        '{"week": 3000000000}',
        '{"sales_value": 1.005}',
        '{"sales_value": 123456789.00}',
        '{"sales_value": NaN}',
        '{"event_timestamp": "yesterday"}',
    ],
)
def test_refuses_what_fits_no_record(tmp_path: Path, text: str):
    path = tmp_path / "patch.json"
    path.write_text(text)
    with pytest.raises(PatchUnfit):
        read_patch(path, SALES)


def test_amounts_are_exact(tmp_path: Path):
    path = tmp_path / "patch.json"
    path.write_text('{"sales_value": 0.1, "retail_disc": "0.20"}')
    assert patched({}, read_patch(path, SALES), SALES) == {
        "sales_value": Decimal("0.10"),
        "retail_disc": Decimal("0.20"),
    }
