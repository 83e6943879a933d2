"""What is read from snapshots: inputs, positions, ancestry."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.table import Table
from tests.unit.lake.tables import append, new_catalog

from headwater.lake.changes import AppendRange, InputExpired, appended_since
from headwater.lake.snapshots import ancestry, input_properties, inputs_read, nearest_properties, row_count


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return new_catalog(tmp_path).create_table("bronze.t", pa.schema([("id", pa.int64())]))


def test_a_new_table_has_read_nothing(table: Table) -> None:
    assert inputs_read(table) == {}
    assert list(ancestry(table)) == []
    assert row_count(table) == 0


def test_the_nearest_ancestor_with_inputs_counts(table: Table) -> None:
    append(table, [1], **input_properties({"bronze.a": 5, "bronze.b": 6}))
    append(table, [2], **input_properties({"bronze.a": 7, "bronze.b": 6}))
    append(table, [3], other="x")
    assert inputs_read(table) == {"bronze.a": 7, "bronze.b": 6}
    assert nearest_properties(table, "oth") == {"other": "x"}
    assert row_count(table) == 3


def test_a_branch_that_is_not_there_has_read_nothing(table: Table) -> None:
    append(table, [1], **input_properties({"bronze.a": 5}))
    assert inputs_read(table, branch="audit") == {}


def test_appends_since_a_snapshot_are_added_up(table: Table) -> None:
    first = append(table, [1, 2, 3])
    append(table, [4])
    last = append(table, [5, 6])
    found = appended_since(table, first)
    assert (found.start, found.end, found.rows, found.files) == (first, last, 3, 2)
    assert found.bytes > 0
    assert appended_since(table, None).rows == 6


def test_nothing_since_the_head(table: Table) -> None:
    head = append(table, [1])
    assert appended_since(table, head).is_empty
    assert appended_since(table, head).end == head


def test_an_empty_table_has_an_empty_range(table: Table) -> None:
    assert appended_since(table, None) == AppendRange(None, None)


def test_deletes_are_no_appends(table: Table) -> None:
    first = append(table, [1])
    append(table, [2])
    table.delete("id = 2")
    assert appended_since(table, first).rows == 1


def test_a_snapshot_that_expired_is_told(table: Table) -> None:
    first = append(table, [1])
    second = append(table, [2])
    append(table, [3])
    table.maintenance.expire_snapshots().by_ids([first, second]).commit()
    with pytest.raises(InputExpired, match=str(first)):
        appended_since(table, first)


def test_a_snapshot_kept_by_a_tag_but_cut_off_from_the_head_is_told(table: Table) -> None:
    first = append(table, [1])
    table.manage_snapshots().create_tag(first, "kept").commit()
    second = append(table, [2])
    third = append(table, [3])
    append(table, [4])
    table.maintenance.expire_snapshots().by_ids([second, third]).commit()
    with pytest.raises(InputExpired):
        appended_since(table, first)
