"""Rows that are older than the contract keeps them go, and nothing else: for each kind of dataset, and each layer."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from tests.datasets.cases import FOLDER, Lake
from tests.integration.lake.sales import new_dataset, position, sale
from tests.integration.lake.shop import FIRST, OPEN, open_shop

from headwater.contracts.model import Contracts, Dataset, Kind, Spread
from headwater.lake import maintenance
from headwater.lake.catalog import get_catalog
from headwater.lake.maintenance import Wish, maintain_table
from headwater.lake.silver import build
from headwater.lake.snapshots import head_id
from headwater.settings import Settings

pytestmark = pytest.mark.integration

NOW = dt.datetime.now(dt.UTC)
LONG_AGO, ONCE, LATELY = (NOW - dt.timedelta(days=days) for days in (400, 300, 1))
TODAY = NOW.date()


def let_go(lake: Lake, dataset: Dataset, layer: str, **wish: Any) -> dict[str, Any]:
    """What retention did to a table of the dataset."""
    name = f"{layer}.{dataset.name}" if "." not in layer else layer
    done: dict[str, Any] = maintain_table(lake.spark, lake.catalog, dataset, name, Wish(**wish))["done"]["retention"]
    return done


def keeps(dataset: Dataset, **days: int) -> Dataset:
    return dataclasses.replace(dataset, live=None, retention_days=days)


def test_bronze_of_a_source_table_keeps_the_newest_row_of_each_key(lake: Lake) -> None:
    dataset = keeps(new_dataset(lake, "stores"), bronze=90)

    def store(key: int, name: str, arrived: dt.datetime, operation: str = "upsert") -> dict[str, Any]:
        row = {"store_id": key, "store_name": name, "updated_at": arrived}
        return row | {"_operation": operation, "_ingested_at": arrived}

    for rows in (
        [store(1, "first", LONG_AGO), store(2, "as it was", LONG_AGO), store(3, "closed", LONG_AGO)],
        [store(1, "second", ONCE), store(3, "closed", ONCE, "delete")],
        [store(1, "third", LATELY)],
    ):
        lake.arrive(dataset, rows)

    held = let_go(lake, dataset, "bronze")
    assert (held["rows"], held["held_rows"], held["held_by"]) == (0, 5, f"silver.{dataset.name}")
    build(lake.spark, lake.catalog, dataset)
    silver = content(lake, f"silver.{dataset.name}")
    assert let_go(lake, dataset, "bronze")["rows"] == 3

    left = lake.rows(f"bronze.{dataset.name}", "store_id, store_name, _operation")
    assert {tuple(row.values()) for row in left} == {
        (1, "third", "upsert"),
        (2, "as it was", "upsert"),
        (3, "closed", "delete"),
    }
    assert build(lake.spark, lake.catalog, dataset)["mode"] == "unchanged"
    assert let_go(lake, dataset, "silver") == {"rows": 0}, "it is what is true now"
    assert content(lake, f"silver.{dataset.name}") == silver


def test_bronze_of_files_keeps_those_that_would_come_in_again(stack: Settings, lake: Lake) -> None:
    like = new_dataset(lake, "promotions")
    dataset = keeps(dataclasses.replace(like, source_name=f"{like.name}/*.parquet"), bronze=90)
    landed = stack.landing_dir / dataset.name / "still-there.parquet"
    landed.parent.mkdir(parents=True)

    def promotion(week: int, file: str, arrived: dt.datetime) -> dict[str, Any]:
        places = {"display_location": "1", "mailer_location": "A"}
        where = {"product_id": 1, "store_id": 1, "_source_file": f"{dataset.name}/{file}", "_ingested_at": arrived}
        return {**places, **where, "week": week}

    lake.arrive(dataset, [promotion(1, "gone.parquet", LONG_AGO), promotion(2, landed.name, LONG_AGO)])
    lake.arrive(dataset, [promotion(3, "new.parquet", LATELY)])
    landed.touch()
    build(lake.spark, lake.catalog, dataset)

    assert let_go(lake, dataset, "bronze")["rows"] == 1
    assert sorted(row["week"] for row in lake.rows(f"bronze.{dataset.name}", "week")) == [2, 3]
    assert build(lake.spark, lake.catalog, dataset)["mode"] == "unchanged"
    assert len(lake.rows(f"silver.{dataset.name}")) == 3


@pytest.mark.parametrize("like", ["transactions", "accounts"])
def test_bronze_that_is_read_from_a_topic_goes_by_the_day_of_arrival(lake: Lake, like: str) -> None:
    dataset = keeps(lake.dataset(like, f"{like}_{uuid.uuid4().hex[:8]}", FOLDER / like), bronze=90)
    place = {"_kafka_topic": "t", "_kafka_topic_id": "T", "_kafka_partition": 0, "_attempt": 0}

    def row(offset: int, arrived: dt.datetime) -> dict[str, Any]:
        at = {**place, "_kafka_offset": offset, "_ingested_at": arrived}
        if dataset.kind is Kind.STREAM:
            return sale(1000 + offset, offset) | at
        change = {"_operation": "insert", "_lsn": offset, "_prior_commit_lsn": offset, "_committed_at": arrived}
        return at | change | {"account_id": offset, "owner": "somebody"}

    lake.arrive(dataset, [row(0, LONG_AGO), row(1, LONG_AGO)], position(2))
    lake.arrive(dataset, [row(2, LATELY)], position(3))
    build(lake.spark, lake.catalog, dataset)

    planned = let_go(lake, dataset, "bronze", dry_run=True)
    done = let_go(lake, dataset, "bronze")

    assert planned["rows"] == done["rows"] == 2
    assert (done["first_attempts_so_far"], done["all_below"]) == ({0: 2}, {0: 2})
    assert [row["_kafka_offset"] for row in lake.rows(f"bronze.{dataset.name}", "_kafka_offset")] == [2]
    lake.arrive(dataset, [row(3, LATELY)], position(4))
    assert build(lake.spark, lake.catalog, dataset)["rows_read"] == 1
    assert len(lake.rows(f"silver.{dataset.name}")) == 4


def test_silver_goes_by_its_date_and_refused_rows_by_arrival(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = keeps(new_dataset(lake), bronze=90, silver=365)
    sold_lately = sale(2, 1, event_timestamp=LATELY, _ingested_at=LATELY)
    refused = [sale(3, 2, quantity=-1, _ingested_at=LONG_AGO), sale(4, 3, quantity=-1, _ingested_at=LATELY)]
    lake.arrive(dataset, [sale(1, 0), sold_lately, *refused], position(4))
    build(lake.spark, lake.catalog, dataset)
    mart = Dataset("mart", "d", Kind.MODEL, "1.0.0", "", "", (), Path(), spread={dataset.name: Spread.SAME})

    with monkeypatch.context() as patched:
        kept_longer = Contracts({"mart": dataclasses.replace(mart, retention_days={"gold": 366})})
        patched.setattr(maintenance, "load_contracts", lambda: kept_longer)
        assert let_go(lake, dataset, "silver") == {"rows": 0, "held_by": "gold.mart"}
        as_long = Contracts({"mart": dataclasses.replace(mart, retention_days={"gold": 365})})
        patched.setattr(maintenance, "load_contracts", lambda: as_long)
        done = let_go(lake, dataset, "silver")
    gone = let_go(lake, dataset, f"silver.{dataset.name}_refused")

    assert (done["rows"], done["by"], done["before"]) == (1, "transaction_date", first_of_month(365))
    assert [row["basket_id"] for row in lake.rows(f"silver.{dataset.name}", "basket_id")] == [2]
    assert (gone["rows"], gone["by"]) == (1, "_ingested_at")
    assert [row["basket_id"] for row in lake.rows(f"silver.{dataset.name}_refused", "basket_id")] == [4]
    assert build(lake.spark, lake.catalog, dataset)["mode"] == "unchanged"


def test_gold_goes_by_its_date_and_what_is_made_from_it_stays(spark: SparkSession, tmp_path: Path) -> None:
    spark.catalog.setCurrentCatalog("lake")
    shop = open_shop(spark, get_catalog(), tmp_path / "models", f"r{NOW:%H%M%S%f}_")
    shop.items((1, "one", FIRST, OPEN))
    shop.sell((1, 1, dt.date(2017, 1, 5), "1.50"), (2, 1, TODAY, "2.50"))
    shop.build_all()
    before, fact = shop.snapshots(), keeps(shop.dataset("fct_sale"), gold=365)
    days = shop.rows("mart_day")
    lake = Lake(spark, get_catalog())

    done = let_go(lake, fact, "gold")

    assert (done["rows"], done["by"], done["before"]) == (1, "sale_date", first_of_month(365))
    assert [row[0] for row in shop.rows("fct_sale")] == [2]
    after = head_id(shop.catalog.load_table(f"gold.{fact.name}"))
    assert after != before["fct_sale"]
    assert all(not result.replaced for result in shop.build_all().values()), "rows that go by age are no change"
    assert shop.rows("mart_day") == days
    assert let_go(lake, keeps(shop.dataset("dim_item"), gold=1), "gold") == {"rows": 0}, "it has no date"


def first_of_month(days: int) -> str:
    """The first day of the month that holds the last day to be kept."""
    return str((TODAY - dt.timedelta(days=days)).replace(day=1))


def content(lake: Lake, name: str) -> list[str]:
    return sorted(map(repr, lake.rows(name)))
