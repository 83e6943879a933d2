"""Which table and which snapshot a person means."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from tests.unit.lake.tables import append, new_catalog

from headwater.lake.references import NoSuchSnapshot, NoSuchTable, open_table, published, resolve, table_name, time_of

SCHEMA = pa.schema([("id", pa.int64())])


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return new_catalog(tmp_path)


@pytest.fixture
def table(catalog: Catalog) -> Table:
    return catalog.create_table("gold.t", SCHEMA)


@pytest.mark.parametrize("name", ["gold.t", "lake.gold.t", "t"])
def test_a_table_is_found_by_each_of_its_names(catalog: Catalog, table: Table, name: str) -> None:
    assert table_name(open_table(catalog, name)) == "gold.t"


def test_a_name_in_two_layers_must_be_told_apart(catalog: Catalog, table: Table) -> None:
    catalog.create_table("silver.t", SCHEMA)
    with pytest.raises(NoSuchTable, match=r"several tables.*say gold\.t or silver\.t"):
        open_table(catalog, "t")


@pytest.mark.parametrize("name", ["gold.no", "no", "no.t", "gold.", ""])
def test_an_unknown_table_is_told_with_a_remedy(catalog: Catalog, name: str) -> None:
    with pytest.raises(NoSuchTable, match="headwater dataset list"):
        open_table(catalog, name)


def test_a_snapshot_is_found_by_id_tag_and_branch(table: Table) -> None:
    first = append(table, [1])
    table.manage_snapshots().create_tag(first, "good").commit()
    last = append(table, [2])
    assert [resolve(table, name).snapshot_id for name in (str(first), "good", "main")] == [first, first, last]


def test_a_time_means_what_readers_saw_then(table: Table) -> None:
    first, second = append(table, [1]), append(table, [2])
    at = {s.snapshot_id: time_of(s) for s in table.metadata.snapshots}
    table.manage_snapshots().set_current_snapshot(first).commit()
    a_moment_before = at[second] - timedelta(milliseconds=1)
    assert resolve(table, a_moment_before.isoformat()).snapshot_id == first
    assert resolve(table, at[second].isoformat()).snapshot_id == second
    assert resolve(table, at[second].replace(tzinfo=None).isoformat()).snapshot_id == second
    assert resolve(table, "2999-01-01").snapshot_id == first


def test_what_is_not_kept_is_told_with_a_remedy(table: Table) -> None:
    append(table, [1])
    with pytest.raises(NoSuchSnapshot, match=r"no snapshot 7.*headwater table history gold\.t"):
        resolve(table, "7")
    with pytest.raises(NoSuchSnapshot, match="nothing is kept of 2017-01-01"):
        resolve(table, "2017-01-01")
    with pytest.raises(NoSuchSnapshot, match="neither a snapshot's id, nor a tag, nor a time.*main"):
        resolve(table, "yesterday")


def test_a_table_without_any_commit_has_no_main(table: Table) -> None:
    with pytest.raises(NoSuchSnapshot, match="none yet"):
        resolve(table, "main")


def test_what_was_rolled_back_was_published_and_a_refused_build_was_not(table: Table) -> None:
    first, second = append(table, [1]), append(table, [2])
    table.manage_snapshots().set_current_snapshot(first).commit()
    table.manage_snapshots().create_branch(first, "build").commit()
    table.append(pa.table({"id": pa.array([3], pa.int64())}), branch="build")
    assert published(table) == {first, second}
    assert len(table.metadata.snapshots) == 3
