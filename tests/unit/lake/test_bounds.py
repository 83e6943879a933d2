"""Where a batch's rows can be: as Spark SQL, as PyIceberg's expression, and as files."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
from tests.unit.lake.tables import append, new_catalog

from headwater.contracts.loader import load_dataset
from headwater.lake.bounds import Bounds, Range, bounded_columns, bounds_of, group_expression, literal


def test_groups_are_alternatives_of_ranges() -> None:
    bounds = bounds_of(("a", "b"), [[(1, 2), ("x", "y")], [(None, None), (3, 4)]])
    assert (
        bounds.to_sql("t")
        == "(t.`a` BETWEEN 1 AND 2 AND t.`b` BETWEEN 'x' AND 'y') OR (t.`a` IS NULL AND t.`b` BETWEEN 3 AND 4)"
    )


def test_no_rows_are_nowhere_and_unknown_ones_anywhere() -> None:
    assert Bounds(()).to_sql("t") == "false"
    assert Bounds(((),)).to_sql("t") == "(true)"


def test_many_groups_become_one() -> None:
    bounds = bounds_of(("a", "b"), [[(i, i + 1), (None, None)] if i else [(0, 1), (5, 6)] for i in range(100)])
    assert bounds == Bounds(((Range("a", 0, 100),),))


def test_a_very_long_key_is_no_bound() -> None:
    assert bounds_of(("a", "b"), [[("x" * 10_000_000, "y"), (1, 2)]]) == Bounds(((Range("b", 1, 2),),))


def test_literals() -> None:
    assert literal(datetime(2017, 1, 2, 3, 4, 5, 6, UTC)) == "TIMESTAMP'2017-01-02 03:04:05.000006'"
    assert literal(date(2017, 1, 2)) == "DATE'2017-01-02'"
    assert literal("it's \\") == "'it\\'s \\\\'"
    assert literal(True) == "true"


def test_only_files_within_the_bounds_are_opened(tmp_path: Path) -> None:
    table = new_catalog(tmp_path).create_table("silver.t", pa.schema([("id", pa.int64())]))
    append(table, [1, 2])
    append(table, [10, 20])
    append(table, [30])
    assert bounds_of(("id",), [[(11, 12)]]).files(table)[0] == 1
    assert bounds_of(("id",), [[(2, 2)], [(30, 31)]]).files(table)[0] == 2
    assert bounds_of(("id",), [[(31, 99)]]).files(table) == (0, 0)
    assert Bounds(((),)).files(table)[0] == 3


def test_a_date_that_a_correction_may_change_is_no_bound() -> None:
    sales = load_dataset("transactions")
    assert bounded_columns(sales) == ("basket_id", "product_id")
    assert group_expression(sales) == "date_trunc('MONTH', `transaction_date`)"


def test_a_partition_column_derived_from_the_key_is_a_bound() -> None:
    sales = load_dataset("transactions")
    columns = tuple(
        dataclasses.replace(c, primary_key=c.name in ("event_timestamp", "basket_id")) for c in sales.columns
    )
    keyed = dataclasses.replace(sales, columns=columns)
    assert bounded_columns(keyed) == ("transaction_date", "event_timestamp", "basket_id")
