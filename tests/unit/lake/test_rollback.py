"""What a rollback would do, and what must not go back."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from tests.unit.lake.tables import append, new_catalog

from headwater.contracts.loader import load_contracts
from headwater.lake.changes import InputExpired, appended_since, changed_partitions
from headwater.lake.references import NoSuchSnapshot
from headwater.lake.rollback import RollbackRefused, plan
from headwater.lake.snapshots import input_properties
from headwater.streaming.ledger import Account

SCHEMA = pa.schema([("id", pa.int64())])
CONTRACTS = load_contracts()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return new_catalog(tmp_path)


def filled(catalog: Catalog, name: str) -> tuple[Table, list[int]]:
    """A table of three snapshots of 1, 2 and 3 rows."""
    table = catalog.create_table(name, SCHEMA)
    return table, [append(table, list(range(n))) for n in (1, 2, 3)]


def test_a_plan_says_what_is_undone_and_changes_nothing(catalog: Catalog) -> None:
    _, (first, second, third) = filled(catalog, "gold.fct_sales")
    planned = plan(catalog, CONTRACTS, "fct_sales", str(first))
    assert [s.snapshot_id for s in planned.undone] == [third, second]
    assert (planned.restored, planned.rows) == ((), (6, 1))
    assert catalog.load_table("gold.fct_sales").current_snapshot().snapshot_id == third


def test_a_plan_says_what_follows(catalog: Catalog) -> None:
    _, (first, second, third) = filled(catalog, "gold.fct_sales")
    for name, position in (("gold.mart_a", third), ("gold.mart_b", second), ("gold.mart_c", first)):
        append(catalog.create_table(name, SCHEMA), [1], **input_properties({"gold.fct_sales": position}))
    builds, readers, warehouse = plan(catalog, CONTRACTS, "gold.fct_sales", str(first)).follows
    assert "its next build does again what is undone" in builds
    assert "pause the DAG `loyalty`" in builds
    assert readers.startswith("gold.mart_a, gold.mart_b have read what is undone")
    assert "the warehouse goes on showing what it shows; its next load follows" in warehouse


def test_what_has_read_the_undone_takes_all_of_the_table_as_changed(catalog: Catalog) -> None:
    """Both a model that reads it and the warehouse's load ask this way."""
    table, (first, second, third) = filled(catalog, "gold.fct_sales")
    table.manage_snapshots().set_current_snapshot(first).commit()
    append(table, [7])
    assert changed_partitions(table, third, "id") is None
    assert changed_partitions(table, second, "id") is None
    with pytest.raises(InputExpired):
        appended_since(table, third)
    assert appended_since(table, first).rows == 1


def test_a_silver_table_has_no_warehouse_and_a_source_is_read_again(catalog: Catalog) -> None:
    _, (silver, *_) = filled(catalog, "silver.stores")
    assert len(plan(catalog, CONTRACTS, "silver.stores", str(silver)).follows) == 1
    _, (bronze, *_) = filled(catalog, "bronze.stores")
    (follows,) = plan(catalog, CONTRACTS, "bronze.stores", str(bronze)).follows
    assert "its next ingest appends again what the source still has" in follows


def test_the_newest_is_no_rollback(catalog: Catalog) -> None:
    filled(catalog, "gold.fct_sales")
    planned = plan(catalog, CONTRACTS, "gold.fct_sales", "main")
    assert planned.changes_nothing
    assert (planned.undone, planned.follows) == ((), ())


def test_what_was_undone_can_be_brought_back_also_after_other_commits(catalog: Catalog) -> None:
    table, (first, second, third) = filled(catalog, "gold.fct_sales")
    table.manage_snapshots().set_current_snapshot(first).commit()
    other = append(table, [7])
    planned = plan(catalog, CONTRACTS, "gold.fct_sales", str(third))
    assert [s.snapshot_id for s in planned.undone] == [other]
    assert [s.snapshot_id for s in planned.restored] == [third, second]


def test_a_tag_is_reached_although_what_came_after_it_has_expired(catalog: Catalog) -> None:
    table, (first, second, third) = filled(catalog, "gold.fct_sales")
    table.manage_snapshots().create_tag(first, "good").commit()
    table.maintenance.expire_snapshots().by_ids([second]).commit()
    planned = plan(catalog, CONTRACTS, "gold.fct_sales", "good")
    assert planned.target.snapshot_id == first
    assert [s.snapshot_id for s in planned.undone] == [third]


def test_a_build_that_was_refused_is_not_published_by_a_rollback(catalog: Catalog) -> None:
    table, (*_, third) = filled(catalog, "gold.fct_sales")
    table.manage_snapshots().create_branch(third, "build").commit()
    table.append(pa.table({"id": pa.array([9], pa.int64())}), branch="build")
    with pytest.raises(RollbackRefused, match=r"never published.*headwater table history gold\.fct_sales"):
        plan(catalog, CONTRACTS, "gold.fct_sales", "build")


@pytest.mark.parametrize("name", ["bronze.transactions", "bronze.of_a_contract_that_is_gone"])
def test_the_account_of_a_stream_does_not_go_back(catalog: Catalog, name: str) -> None:
    table = catalog.create_table(name, SCHEMA)
    first = append(table, [1], **Account("id", {0: 0}, {0: 1}, {0: 1}).properties())
    append(table, [2], **Account("id", {0: 0}, {0: 2}, {0: 1}).properties())
    with pytest.raises(RollbackRefused, match="does not go back.*offsets.*roll back the silver or gold table"):
        plan(catalog, CONTRACTS, name, str(first))


def test_refused_rows_do_not_go_back_but_with_their_silver(catalog: Catalog) -> None:
    _, (first, *_) = filled(catalog, "silver.transactions_refused")
    with pytest.raises(RollbackRefused, match=r"would be forgotten.*roll back silver\.transactions"):
        plan(catalog, CONTRACTS, "silver.transactions_refused", str(first))


def test_there_must_be_something_to_go_back_to(catalog: Catalog) -> None:
    catalog.create_table("gold.fct_sales", SCHEMA)
    with pytest.raises(NoSuchSnapshot):
        plan(catalog, CONTRACTS, "gold.fct_sales", "main")
