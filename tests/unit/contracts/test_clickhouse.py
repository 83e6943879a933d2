"""Which statement brings a ClickHouse table up to its contract, and which of them lose data."""

from __future__ import annotations

import pytest

from headwater.contracts.clickhouse import clickhouse_type, migrations, table_columns, widens
from headwater.contracts.model import Dataset, WarehouseTable


def _current(model: Dataset, table: WarehouseTable) -> dict[str, str]:
    return {c.name: clickhouse_type(c, c.name in table.order_by) for c in table_columns(model, table)}


def _migrate(model: Dataset, current: dict[str, str], key: str = "event_date, letter") -> list[tuple[str, bool]]:
    assert model.warehouse is not None
    found = migrations(model, model.warehouse, current, key, "toYYYYMM(event_date)")
    return [(m.sql, m.destroys) for m in found]


def test_a_table_that_is_as_declared_needs_nothing(model: Dataset) -> None:
    assert model.warehouse is not None
    assert _migrate(model, _current(model, model.warehouse)) == []


def test_a_new_column_is_added_in_its_place(model: Dataset) -> None:
    assert model.warehouse is not None
    current = _current(model, model.warehouse)
    del current["money"]
    definition = "money Nullable(Decimal(18, 2)) COMMENT 'Sum of the amounts'"
    assert _migrate(model, current) == [(f"ALTER TABLE gold.by_letter ADD COLUMN {definition} AFTER letter", False)]


def test_a_dropped_column_loses_data(model: Dataset) -> None:
    assert model.warehouse is not None
    current = {**_current(model, model.warehouse), "old": "String"}
    assert _migrate(model, current) == [("ALTER TABLE gold.by_letter DROP COLUMN old", True)]


def test_a_wider_type_is_modified(model: Dataset) -> None:
    assert model.warehouse is not None
    current = {**_current(model, model.warehouse), "money": "Nullable(Decimal(10, 2))"}
    wider = "ALTER TABLE gold.by_letter MODIFY COLUMN money Nullable(Decimal(18, 2))"
    assert _migrate(model, current) == [(wider, False)]


def test_another_sorting_key_makes_the_table_anew(model: Dataset) -> None:
    assert model.warehouse is not None
    drop, create = _migrate(model, _current(model, model.warehouse), key="letter")
    assert drop == ("DROP TABLE gold.by_letter", True)
    assert create[0].startswith("CREATE TABLE IF NOT EXISTS gold.by_letter")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Int32", "Int64", True),
        ("Int64", "Int32", False),
        ("Int32", "Nullable(Int64)", True),
        ("Nullable(Int32)", "Int32", False),
        ("Decimal(10, 2)", "Decimal(18, 2)", True),
        ("Decimal(10, 2)", "Decimal(10, 4)", False),
        ("String", "LowCardinality(String)", True),
        ("LowCardinality(Nullable(String))", "String", False),
        ("String", "Int64", False),
    ],
)
def test_widening(old: str, new: str, expected: bool) -> None:
    assert widens(old, new) is expected
