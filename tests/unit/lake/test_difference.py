"""What differs between two snapshots: rows, whatever files they lie in, and columns."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.table import Table
from pyiceberg.types import LongType, StringType
from tests.unit.lake.tables import append, delete_positions, new_catalog

from headwater.lake.difference import ColumnDifference, PartitionDifference, difference
from headwater.lake.references import resolve

SCHEMA = pa.schema([("day", pa.date32()), ("n", pa.int32())])
JANUARY, MARCH = dt.date(2017, 1, 5), dt.date(2017, 3, 5)
IN_JANUARY, IN_MARCH = "day=2017-01-05", "day=2017-03-05"


@pytest.fixture
def table(tmp_path: Path) -> Table:
    made = new_catalog(tmp_path).create_table("gold.t", SCHEMA)
    with made.update_spec() as change:
        change.add_identity("day")
    return made


def rows(*values: tuple[dt.date, int]) -> pa.Table:
    return pa.table({"day": [v[0] for v in values], "n": [v[1] for v in values]}, SCHEMA)


def between(table: Table, before: int, after: str = "main"):
    return difference(table, resolve(table, str(before)), resolve(table, after))


def head(table: Table) -> int:
    return table.current_snapshot().snapshot_id


def test_appended_rows_are_told_by_partition(table: Table) -> None:
    table.append(rows((JANUARY, 1)))
    first = head(table)
    table.append(rows((JANUARY, 2), (MARCH, 3), (MARCH, 3)))
    found = between(table, first)
    assert found.partitions == (PartitionDifference(IN_JANUARY, 1, 0), PartitionDifference(IN_MARCH, 2, 0))
    assert (found.added, found.removed, found.columns) == (3, 0, ())
    back = difference(table, resolve(table, "main"), resolve(table, str(first)))
    assert back.partitions == (PartitionDifference(IN_JANUARY, 0, 1), PartitionDifference(IN_MARCH, 0, 2))


def test_a_changed_row_went_and_came_and_the_others_of_its_file_did_not(table: Table) -> None:
    table.append(rows((JANUARY, 1), (JANUARY, 2), (MARCH, 3)))
    first = head(table)
    table.overwrite(rows((JANUARY, 1), (JANUARY, 9), (JANUARY, 9)), "day < '2017-02-01'")
    assert between(table, first).partitions == (PartitionDifference(IN_JANUARY, 2, 1),)


def test_the_same_rows_in_other_files_are_no_difference(table: Table) -> None:
    table.append(rows((JANUARY, 1), (JANUARY, 1)))
    table.append(rows((JANUARY, 2)))
    first = head(table)
    table.overwrite(rows((JANUARY, 2), (JANUARY, 1), (JANUARY, 1)))
    assert between(table, first).partitions == ()


def test_a_repeated_row_is_counted_as_often_as_it_is_there(table: Table) -> None:
    table.append(rows((JANUARY, 1), (JANUARY, 1), (JANUARY, 1)))
    first = head(table)
    table.overwrite(rows((JANUARY, 1)))
    assert between(table, first).partitions == (PartitionDifference(IN_JANUARY, 0, 2),)


def test_a_partition_that_was_emptied_is_told(table: Table) -> None:
    table.append(rows((JANUARY, 1), (MARCH, 3)))
    first = head(table)
    table.delete("day < '2017-02-01'")
    assert between(table, first).partitions == (PartitionDifference(IN_JANUARY, 0, 1),)


def test_columns_are_followed_by_their_ids(table: Table) -> None:
    table.append(rows((JANUARY, 1)))
    first = head(table)
    with table.update_schema() as change:
        change.rename_column("n", "number")
        change.add_column("note", StringType())
    with table.update_schema() as change:
        change.update_column("number", LongType())
    later = pa.table({"day": [MARCH], "number": [2], "note": ["x"]}, table.schema().as_arrow())
    table.append(later)
    found = between(table, first)
    assert found.columns == (
        ColumnDifference("number", "renamed", "n", "number"),
        ColumnDifference("number", "retyped", "int", "long"),
        ColumnDifference("note", "added", None, "string"),
    )
    assert found.partitions == (PartitionDifference(IN_MARCH, 1, 0),)
    dropped = difference(table, resolve(table, "main"), resolve(table, str(first))).columns
    assert ColumnDifference("note", "dropped", "string", None) in dropped


def test_rows_rewritten_under_a_wider_schema_are_the_same_rows(table: Table) -> None:
    table.append(rows((JANUARY, 1), (JANUARY, 2)))
    first = head(table)
    with table.update_schema() as change:
        change.update_column("n", LongType())
        change.add_column("note", StringType())
    schema = table.schema().as_arrow()
    table.overwrite(pa.table({"day": [JANUARY, JANUARY], "n": [1, 2], "note": [None, "x"]}, schema))
    assert between(table, first).partitions == (PartitionDifference(IN_JANUARY, 1, 1),)


def test_a_table_without_partitions_is_one(tmp_path: Path) -> None:
    table = new_catalog(tmp_path).create_table("gold.t", SCHEMA)
    table.append(rows((JANUARY, 1)))
    first = head(table)
    table.append(rows((MARCH, 2)))
    assert between(table, first).partitions == (PartitionDifference("", 1, 0),)


def test_rows_deleted_by_position_went_and_compaction_after_it_is_no_difference(tmp_path: Path) -> None:
    table = new_catalog(tmp_path).create_table("silver.t", pa.schema([("id", pa.int64())]))
    first = append(table, [1, 2, 3])
    (task,) = table.scan().plan_files()
    merged = delete_positions(table, task.file.file_path, [1])
    append(table, [20])
    assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [1, 3, 20]
    assert between(table, first).partitions == (PartitionDifference("", 1, 1),)
    assert between(table, first, str(merged)).partitions == (PartitionDifference("", 0, 1),)
    assert difference(table, resolve(table, "main"), resolve(table, str(first))).removed == 1
    before = head(table)
    table.overwrite(pa.table({"id": pa.array([20, 3, 1], pa.int64())}))
    assert between(table, before).partitions == ()
    assert between(table, first).partitions == (PartitionDifference("", 1, 1),)
