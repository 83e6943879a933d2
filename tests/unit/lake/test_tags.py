"""Names for snapshots: given, kept by expiry, taken away."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from tests.unit.lake.tables import append, new_catalog

from headwater.lake.inspection import snapshots
from headwater.lake.tags import POSITION_TAG, TagRefused, create_tag, remove_tag, tags


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return new_catalog(tmp_path)


@pytest.fixture
def table(catalog: Catalog) -> Table:
    return catalog.create_table("gold.t", pa.schema([("id", pa.int64())]))


def test_a_tag_keeps_its_snapshot_through_expiry_until_it_is_removed(catalog: Catalog, table: Table) -> None:
    first, second, third = append(table, [1]), append(table, [2]), append(table, [3])
    assert create_tag(catalog, table, "good", str(first)).snapshot_id == first
    table = catalog.load_table("gold.t")
    table.maintenance.expire_snapshots().by_ids([second]).commit()
    assert tags(table) == {"good": first}
    assert table.scan(snapshot_id=first).to_arrow()["id"].to_pylist() == [1]
    assert [s.snapshot_id for s in snapshots(table)] == [third, first]
    assert remove_tag(catalog, table, "good") == first
    assert tags(catalog.load_table("gold.t")) == {}


def test_the_newest_is_tagged_where_none_is_named(catalog: Catalog, table: Table) -> None:
    append(table, [1])
    head = append(table, [2])
    assert create_tag(catalog, table, "good").snapshot_id == head


@pytest.mark.parametrize("name", ["main", "build", POSITION_TAG, "123", "2026-01-01", "", "a b", "ä", "-x"])
def test_a_name_that_would_be_mistaken_is_refused(catalog: Catalog, table: Table, name: str) -> None:
    append(table, [1])
    with pytest.raises(TagRefused, match="cannot be the name of a tag"):
        create_tag(catalog, table, name)


def test_a_name_that_is_taken_is_refused_and_stays(catalog: Catalog, table: Table) -> None:
    first = append(table, [1])
    create_tag(catalog, table, "good")
    append(table, [2])
    table = catalog.load_table("gold.t")
    with pytest.raises(TagRefused, match=r"names snapshot \d+ already.*headwater table tag gold\.t good --remove"):
        create_tag(catalog, table, "good")
    assert tags(catalog.load_table("gold.t")) == {"good": first}


def test_what_no_reader_has_seen_is_not_named(catalog: Catalog, table: Table) -> None:
    table.manage_snapshots().create_branch(append(table, [1]), "build").commit()
    table.append(pa.table({"id": pa.array([2], pa.int64())}), branch="build")
    with pytest.raises(TagRefused, match="never published"):
        create_tag(catalog, table, "good", "build")


def test_only_a_tag_can_be_removed(catalog: Catalog, table: Table) -> None:
    table.manage_snapshots().create_tag(append(table, [1]), POSITION_TAG).commit()
    with pytest.raises(TagRefused, match="there is no tag 'good'"):
        remove_tag(catalog, table, "good")
    for name in ("main", POSITION_TAG):
        with pytest.raises(TagRefused, match="the platform's own"):
            remove_tag(catalog, table, name)
