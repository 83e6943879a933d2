"""What the contract lets go of, by kind and layer, and what the ledger says of it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from tests.integration.streaming.bronze import add_rows, row
from tests.unit.lake.tables import append, new_catalog

from headwater.contracts.iceberg import apply_table
from headwater.contracts.loader import load_contracts, load_dataset
from headwater.contracts.model import Contracts, Dataset, Kind
from headwater.lake.changes import RETENTION, changed_partitions
from headwater.lake.commits import CommitConflict
from headwater.lake.retention import Cut, _drop_stream, cut_of, drop, longest_gold, not_beyond
from headwater.lake.snapshots import properties_of
from headwater.lake.spread import has_changed
from headwater.streaming.ledger import RETAINED, Account, Retained, nearest_account, retained_of

NOW = datetime(2026, 11, 21, 20, 30, tzinfo=UTC)
DAYS = {"bronze": 90, "silver": 730, "gold": 2557}


def dataset(name: str) -> Dataset:
    return dataclasses.replace(load_dataset(name), retention_days=DAYS)


@pytest.mark.parametrize(
    ("name", "table", "column", "before"),
    [
        ("transactions", "bronze.transactions", "_ingested_at", datetime(2026, 8, 23, tzinfo=UTC)),
        ("transactions", "silver.transactions_refused", "_ingested_at", datetime(2026, 8, 23, tzinfo=UTC)),
        ("transactions", "silver.transactions", "transaction_date", date(2024, 11, 1)),
        ("products", "bronze.products", "_ingested_at", datetime(2026, 8, 23, tzinfo=UTC)),
        ("fct_sales", "gold.fct_sales", "sale_date", date(2019, 11, 1)),
    ],
)
def test_whole_partitions_go_by_age(name: str, table: str, column: str, before: datetime | date) -> None:
    cut = cut_of(dataset(name), table, NOW)
    assert cut is not None
    assert (cut.column, cut.before) == (column, before)


@pytest.mark.parametrize(
    ("name", "table"),
    [("products", "silver.products"), ("promotions", "silver.promotions"), ("dim_store", "gold.dim_store")],
)
def test_what_is_true_now_has_no_age(name: str, table: str) -> None:
    assert cut_of(dataset(name), table, NOW) is None


def test_a_captured_table_is_what_is_true_now_with_its_tombstones() -> None:
    captured = dataclasses.replace(dataset("transactions"), kind=Kind.CAPTURE)
    assert cut_of(captured, "silver.transactions", NOW) is None


def test_the_gold_that_is_kept_longest_is_found_through_other_models() -> None:
    contracts = load_contracts()
    name, days = longest_gold(contracts.get("transactions"), contracts)
    assert (name.partition(".")[0], days) == ("gold", max(m.retention_days["gold"] for m in models_of(contracts)))
    forever = dataclasses.replace(contracts.get("mart_marketing_rfm"), retention_days={})
    kept = Contracts({**contracts.datasets, forever.name: forever})
    assert longest_gold(contracts.get("transactions"), kept) == ("gold.mart_marketing_rfm", None)


def test_silver_without_gold_is_held_by_nothing() -> None:
    contracts = load_contracts()
    alone = Contracts({"transactions": contracts.get("transactions")})
    assert longest_gold(contracts.get("transactions"), alone) is None


def models_of(contracts: Contracts) -> list[Dataset]:
    return [one for one in contracts.of_kind(Kind.MODEL) if one.inputs]


def test_rows_of_bronze_that_somebody_has_yet_to_read_stay() -> None:
    wanted = cut_of(dataset("transactions"), "bronze.transactions", NOW)
    assert wanted is not None
    assert not_beyond(wanted, NOW) == wanted
    cut = not_beyond(wanted, datetime(2026, 3, 4, 5, tzinfo=UTC))
    assert cut == Cut("_ingested_at", datetime(2026, 3, 4, tzinfo=UTC), 90)
    assert cut.condition == "`_ingested_at` < TIMESTAMP'2026-03-04 00:00:00.000000'"


def test_the_note_of_what_has_gone_speaks_of_one_topic(tmp_path: Path) -> None:
    table = new_catalog(tmp_path).create_table("bronze.t", pa.schema([("id", pa.int64())]))
    assert retained_of(table, "T") == Retained("T", {}, {})
    noted = Retained("T", {0: 3, 10: 4}, {0: 5, 10: 4})
    table = table.transaction().set_properties(noted.properties()).commit_transaction()
    assert RETAINED in table.properties
    assert retained_of(table, "T") == noted
    assert retained_of(table, "another") == Retained("another", {}, {})


def test_rows_and_the_note_of_them_go_in_one_commit(tmp_path: Path) -> None:
    catalog, sales = new_catalog(tmp_path), dataset("transactions")
    apply_table(catalog, sales, "bronze.transactions")
    table, account = catalog.load_table("bronze.transactions"), Account("T", {}, {})
    for first, arrived in ((0, NOW - timedelta(days=100)), (3, NOW)):
        account = account.advanced({0: first + 3})
        rows = [row(n, n, _kafka_topic_id="T", _ingested_at=arrived) for n in range(first, first + 3)]
        again = row(first, first, _kafka_topic_id="T", _ingested_at=arrived, _attempt=1)
        add_rows(table, [*rows, again], account.properties())
    cut = cut_of(sales, "bronze.transactions", NOW)
    assert cut is not None
    before = len(table.metadata.snapshots)

    gone = _drop_stream(table, cut)

    assert (gone["rows"], gone["first_attempts_so_far"], gone["all_below"]) == (4, {0: 3}, {0: 3})
    table = catalog.load_table("bronze.transactions")
    assert retained_of(table, "T") == Retained("T", {0: 3}, {0: 3})
    assert sorted(table.scan().to_arrow()["_kafka_offset"].to_pylist()) == [3, 3, 4, 5]
    assert len(table.metadata.snapshots) == before + 1
    found = nearest_account(table)
    assert found is not None
    assert found.offsets == {0: 6}, "the account goes on as it was"


def test_whole_files_of_gold_go_in_a_commit_that_says_so(tmp_path: Path) -> None:
    catalog, schema = new_catalog(tmp_path), pa.schema([("sale_date", pa.date32())])
    table = catalog.create_table("gold.fct_sales", schema)
    for day in (date(2017, 1, 5), date(2017, 1, 31), date(2017, 2, 1), date(2017, 3, 2)):
        table.append(pa.table({"sale_date": [day]}, schema))
    read, cut = table.current_snapshot().snapshot_id, Cut("sale_date", date(2017, 2, 1), 365)

    done = drop(cast(SparkSession, None), catalog, dataset("fct_sales"), "gold.fct_sales", cut)

    table = catalog.load_table("gold.fct_sales")
    assert done == {"rows": 2, "snapshot_id": table.current_snapshot().snapshot_id}
    assert sorted(table.scan().to_arrow()["sale_date"].to_pylist()) == [date(2017, 2, 1), date(2017, 3, 2)]
    assert properties_of(table.current_snapshot())[RETENTION] == "`sale_date` < DATE'2017-02-01'"
    assert not has_changed(table, read)


def test_a_writer_that_comes_first_each_time_is_told_of_and_nothing_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, schema = new_catalog(tmp_path), pa.schema([("sale_date", pa.date32())])
    table = catalog.create_table("gold.fct_sales", schema)
    table.append(pa.table({"sale_date": [date(2017, 1, 5)]}, schema))
    commit = catalog.commit_table

    def after_another(*arguments: Any) -> Any:
        monkeypatch.setattr(catalog, "commit_table", commit)
        catalog.load_table("gold.fct_sales").append(pa.table({"sale_date": [date(2019, 1, 5)]}, schema))
        monkeypatch.setattr(catalog, "commit_table", after_another)
        return commit(*arguments)

    monkeypatch.setattr(catalog, "commit_table", after_another)
    cut = Cut("sale_date", date(2018, 1, 1), 100)
    with pytest.raises(CommitConflict, match=r"gold\.fct_sales.*the next maintenance tries again"):
        drop(cast(SparkSession, None), catalog, dataset("fct_sales"), "gold.fct_sales", cut)
    assert date(2017, 1, 5) in catalog.load_table("gold.fct_sales").scan().to_arrow()["sale_date"].to_pylist()


def test_what_went_by_age_is_no_change_to_what_was_built_from_it(tmp_path: Path) -> None:
    table = new_catalog(tmp_path).create_table("silver.t", pa.schema([("id", pa.int64())]))
    first = append(table, [1])
    append(table, [2])
    second = append(table, [3])
    table.delete("id < 2", snapshot_properties={RETENTION: "id < 2"})
    assert not has_changed(table, second)
    assert has_changed(table, first)
    assert changed_partitions(table, second, "id") == changed_partitions(
        table, table.current_snapshot().snapshot_id, "id"
    )
    table.delete("id < 3")
    assert has_changed(table, second)
