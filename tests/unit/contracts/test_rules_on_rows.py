"""What the rules of `transactions` refuse and what they let pass, judged by a real SQL engine (DuckDB)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Dataset
from headwater.contracts.quality import accepts

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "event_id": "1-2",
    "event_timestamp": datetime(2017, 3, 1, 12, tzinfo=UTC),
    "household_id": 900,
    "store_id": 330,
    "basket_id": 1,
    "product_id": 2,
    "quantity": 1,
    "sales_value": Decimal("1.99"),
    "retail_disc": Decimal(0),
    "coupon_disc": Decimal(0),
    "coupon_match_disc": Decimal(0),
    "week": 9,
    "_ingested_at": NOW,
}
BROKEN = {
    "a negative quantity": ({"quantity": -1}, {"quantity_minimum"}),
    "a negative amount": ({"sales_value": Decimal("-0.01")}, {"sales_value_minimum"}),
    "a negative discount": ({"coupon_disc": Decimal(-1)}, {"coupon_disc_minimum"}),
    "an event from 2099": ({"event_timestamp": datetime(2099, 1, 1, tzinfo=UTC)}, {"event_timestamp_maximum"}),
    "an event from 1970": ({"event_timestamp": datetime(1970, 1, 1, tzinfo=UTC)}, {"event_timestamp_minimum"}),
    "a null key": ({"basket_id": None}, {"basket_id_required"}),
    "a null key and a bad week": ({"product_id": None, "week": 54}, {"product_id_required", "week_maximum"}),
}
KEPT: dict[str, dict[str, Any]] = {
    "as it is": {},
    "a clock that is hours ahead": {"event_timestamp": NOW + timedelta(hours=23)},
    "nothing sold": {"quantity": 0, "sales_value": Decimal(0)},
    "an emoji": {"event_id": "🛒-1"},
    "a string of 10 MB": {"event_id": "x" * 10_000_000},
    "an optional field without value": {"event_type": None},
}


@pytest.fixture(scope="module")
def transactions() -> Dataset:
    return load_dataset("transactions")


def _row(change: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    row = {"event_type": "sale", **GOOD, **change}
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    columns = ", ".join(f"?::{_duckdb_type(name)} AS {name}" for name in row)
    connection.execute(f"CREATE TABLE t AS SELECT {columns}", list(row.values()))
    return connection


def _duckdb_type(column: str) -> str:
    if column in ("event_timestamp", "_ingested_at"):
        return "TIMESTAMPTZ"
    if column in ("event_id", "event_type"):
        return "VARCHAR"
    return "DECIMAL(10,2)" if column.endswith(("_value", "_disc")) else "BIGINT"


@pytest.mark.parametrize("case", BROKEN)
def test_a_row_that_breaks_rules_is_refused_by_their_names(case: str, transactions: Dataset) -> None:
    change, expected = BROKEN[case]
    connection = _row(change)
    broken = {
        rule.name
        for rule in transactions.row_rules
        if connection.execute(f"SELECT coalesce({rule.expression}, false) FROM t").fetchall() == [(False,)]
    }
    assert broken == expected
    assert connection.execute(f"SELECT {accepts(transactions)} FROM t").fetchall() == [(False,)]


@pytest.mark.parametrize("case", KEPT)
def test_a_row_that_breaks_none_is_kept(case: str, transactions: Dataset) -> None:
    assert _row(KEPT[case]).execute(f"SELECT {accepts(transactions)} FROM t").fetchall() == [(True,)]
