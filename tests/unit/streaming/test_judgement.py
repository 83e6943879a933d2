"""Rows judged without Spark."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from tests.unit.streaming.test_live_rows import SALE, SCHEMA

from headwater.contracts.loader import load_dataset
from headwater.streaming.judgement import rules_broken


def broken(*changes: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = pa.Table.from_pylist([{**SALE, **change} for change in changes], schema=SCHEMA)
    return rules_broken(load_dataset("transactions"), rows)


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({}, ()),
        ({"quantity": -1}, ("quantity_minimum",)),
        ({"week": 54, "store_id": None}, ("store_id_required", "week_maximum")),
        ({"event_id": "  "}, ("event_id_required",)),
        ({"event_timestamp": datetime(2099, 12, 31, tzinfo=UTC)}, ("event_timestamp_maximum",)),
    ],
)
def test_names_the_rules_that_silver_would_name(change: dict[str, Any], rules: tuple[str, ...]):
    assert broken(change) == [rules]


def test_keeps_the_order_of_the_rows():
    assert broken({"quantity": -1}, {}, {"week": 0}) == [("quantity_minimum",), (), ("week_minimum",)]


def test_a_part_of_the_key_is_never_null():
    lax = replace(load_dataset("transactions"), row_rules=())
    rows = pa.Table.from_pylist([{**SALE, "product_id": None}], schema=SCHEMA)
    assert rules_broken(lax, rows) == [("product_id_required",)]
