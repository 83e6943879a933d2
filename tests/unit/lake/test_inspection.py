"""What is said of a table from its metadata alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from tests.unit.lake.tables import append, delete_positions, new_catalog

from headwater.lake.inspection import description, snapshots
from headwater.lake.snapshots import input_properties


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return new_catalog(tmp_path)


@pytest.fixture
def table(catalog: Catalog) -> Table:
    return catalog.create_table("gold.t", pa.schema([("id", pa.int64())]), properties={"a": "b"})


def test_history_counts_what_each_snapshot_brought_newest_first(table: Table) -> None:
    append(table, [1, 2, 3], **input_properties({"silver.t": 5}), **{"headwater.commit": "token", "other": "x"})
    table.overwrite(pa.table({"id": pa.array([9], pa.int64())}))
    newest, deleted, first = snapshots(table)
    assert (newest.rows_added, newest.rows, newest.refs, newest.state) == (1, 1, ("main",), "main")
    assert (deleted.operation, deleted.rows_removed, deleted.files_removed, deleted.rows) == ("delete", 3, 1, 0)
    assert (first.operation, first.rows_added, first.files_added, first.rows) == ("append", 3, 1, 3)
    assert first.says == {"input.silver.t": "5"}
    assert newest.committed_at >= first.committed_at


def test_history_tells_what_readers_see_from_what_was_undone_kept_or_never_shown(table: Table) -> None:
    first, second = append(table, [1]), append(table, [2])
    third = append(table, [3])
    table.manage_snapshots().create_tag(first, "good").commit()
    table.manage_snapshots().create_branch(third, "build").commit()
    table.append(pa.table({"id": pa.array([4], pa.int64())}), branch="build")
    assert [(s.state, s.refs) for s in snapshots(table)] == [
        ("unpublished", ("build",)),
        ("main", ("main",)),
        ("main", ()),
        ("main", ("good",)),
    ]
    table.manage_snapshots().set_current_snapshot(second).commit()
    assert [s.state for s in snapshots(table)] == ["unpublished", "undone", "main", "main"]


def test_a_table_without_commits_has_no_history_and_no_size(table: Table) -> None:
    assert snapshots(table) == []
    told = description(table)
    assert told["size"] == {"rows": 0, "data_files": 0, "delete_files": 0, "bytes": 0}
    assert told["newest"] is None


def test_a_description_names_columns_partitions_and_size(catalog: Catalog, table: Table) -> None:
    with table.update_spec() as change:
        change.add_identity("id")
    head = append(table, [1, 2])
    told = description(table)
    assert told["columns"] == [{"name": "id", "type": "long", "required": False, "description": ""}]
    assert told["partitions"] == ["identity of id"]
    assert (told["size"]["rows"], told["size"]["data_files"]) == (2, 2)
    assert told["size"]["bytes"] > 0
    assert (told["newest"]["snapshot_id"], told["refs"], told["snapshots"]) == (head, {"main": head}, 1)
    assert told["properties"] == {"a": "b"}


def test_rows_deleted_by_position_are_not_the_tables_any_more(table: Table) -> None:
    append(table, [1, 2, 3])
    (task,) = table.scan().plan_files()
    delete_positions(table, task.file.file_path, [0, 2])
    newest = snapshots(table)[0]
    assert (newest.rows_removed, newest.files_added, newest.rows) == (2, 1, 1)
    assert description(table)["size"]["delete_files"] == 1
