"""Names for snapshots: given, kept by expiry, taken away."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from tests.unit.lake.tables import append, new_catalog

from headwater.lake.inspection import snapshots
from headwater.lake.names import POSITION_TAG, NameRefused, RefKind, create, names, remove


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return new_catalog(tmp_path)


@pytest.fixture
def table(catalog: Catalog) -> Table:
    return catalog.create_table("gold.t", pa.schema([("id", pa.int64())]))


def test_a_tag_keeps_its_snapshot_through_expiry_until_it_is_removed(catalog: Catalog, table: Table) -> None:
    first, second, third = append(table, [1]), append(table, [2]), append(table, [3])
    assert create(catalog, table, RefKind.TAG, "good", str(first)).snapshot_id == first
    table = catalog.load_table("gold.t")
    table.maintenance.expire_snapshots().by_ids([second]).commit()
    assert names(table, RefKind.TAG) == {"good": first}
    assert table.scan(snapshot_id=first).to_arrow()["id"].to_pylist() == [1]
    assert [s.snapshot_id for s in snapshots(table)] == [third, first]
    assert remove(catalog, table, RefKind.TAG, "good") == first
    assert names(catalog.load_table("gold.t"), RefKind.TAG) == {}


def test_the_newest_is_tagged_where_none_is_named(catalog: Catalog, table: Table) -> None:
    append(table, [1])
    head = append(table, [2])
    assert create(catalog, table, RefKind.TAG, "good").snapshot_id == head


@pytest.mark.parametrize("name", ["main", "build", POSITION_TAG, "123", "2026-01-01", "", "a b", "ä", "-x"])
def test_a_name_that_would_be_mistaken_is_refused(catalog: Catalog, table: Table, name: str) -> None:
    append(table, [1])
    with pytest.raises(NameRefused, match="cannot be the name of a tag"):
        create(catalog, table, RefKind.TAG, name)


def test_a_name_that_is_taken_is_refused_and_stays(catalog: Catalog, table: Table) -> None:
    first = append(table, [1])
    create(catalog, table, RefKind.TAG, "good")
    append(table, [2])
    table = catalog.load_table("gold.t")
    with pytest.raises(NameRefused, match=r"names snapshot \d+ already.*headwater table tag gold\.t good --remove"):
        create(catalog, table, RefKind.TAG, "good")
    assert names(catalog.load_table("gold.t"), RefKind.TAG) == {"good": first}


def test_what_no_reader_has_seen_is_not_named(catalog: Catalog, table: Table) -> None:
    table.manage_snapshots().create_branch(append(table, [1]), "build").commit()
    table.append(pa.table({"id": pa.array([2], pa.int64())}), branch="build")
    with pytest.raises(NameRefused, match="never published"):
        create(catalog, table, RefKind.TAG, "good", "build")


def test_only_a_tag_can_be_removed(catalog: Catalog, table: Table) -> None:
    table.manage_snapshots().create_tag(append(table, [1]), POSITION_TAG).commit()
    with pytest.raises(NameRefused, match="there is no tag 'good'"):
        remove(catalog, table, RefKind.TAG, "good")
    for name in ("main", POSITION_TAG):
        with pytest.raises(NameRefused, match="the platform's own"):
            remove(catalog, table, RefKind.TAG, name)


def test_a_branch_is_written_on_beside_main_and_kept_until_it_is_removed(catalog: Catalog, table: Table) -> None:
    first, second = append(table, [1]), append(table, [2])
    assert create(catalog, table, RefKind.BRANCH, "what-if", str(first)).snapshot_id == first
    table = catalog.load_table("gold.t")
    table.append(pa.table({"id": pa.array([9], pa.int64())}), branch="what-if")
    table = catalog.load_table("gold.t")
    assert (names(table, RefKind.BRANCH).keys(), names(table, RefKind.TAG)) == ({"what-if"}, {})
    assert sorted(table.scan(snapshot_id=names(table, RefKind.BRANCH)["what-if"]).to_arrow()["id"].to_pylist()) == [
        1,
        9,
    ]
    assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [1, 2]
    with pytest.raises(NameRefused, match="there is no tag 'what-if'"):
        remove(catalog, table, RefKind.TAG, "what-if")
    remove(catalog, table, RefKind.BRANCH, "what-if")
    assert names(catalog.load_table("gold.t"), RefKind.BRANCH) == {}
    assert catalog.load_table("gold.t").metadata.current_snapshot_id == second


@pytest.mark.parametrize("name", ["main", "build"])
def test_the_platforms_own_branches_are_neither_made_nor_removed(catalog: Catalog, table: Table, name: str) -> None:
    append(table, [1])
    with pytest.raises(NameRefused, match="cannot be the name of a branch"):
        create(catalog, table, RefKind.BRANCH, name)
    with pytest.raises(NameRefused, match="the platform's own"):
        remove(catalog, table, RefKind.BRANCH, name)
