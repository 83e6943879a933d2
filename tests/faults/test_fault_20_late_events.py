"""Fault 20: events that are an hour, a day and a year late. All are counted and lie in the partition of their day,
gold of that day, and of no other, is built again, and so is the window they belong to in ClickHouse.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.datasets.cases import Lake
from tests.integration.lake.sales import new_dataset, sale
from tests.integration.streaming.bronze import new_bronze, row

from headwater.contracts.iceberg import apply_table
from headwater.contracts.model import Column, Contracts, Dataset, Kind, PartitionField, Spread
from headwater.contracts.types import Decimal, Primitive
from headwater.lake import gold
from headwater.lake.changes import DateRange, changed_partitions
from headwater.lake.event_time import LATE_DAYS, event_time
from headwater.lake.models import Model, load_model
from headwater.lake.restate import restate
from headwater.lake.silver import build
from headwater.lake.snapshots import head_id, properties_of
from headwater.settings import Settings
from headwater.streaming.live import LiveFollower
from headwater.streaming.live_tables import make_views
from headwater.streaming.live_views import views_of
from headwater.warehouse.client import writer

pytestmark = [pytest.mark.integration, pytest.mark.fault]

NOON = dt.datetime(2017, 6, 15, 12, tzinfo=dt.UTC)
LATE = {"an hour": dt.timedelta(hours=1), "a day": dt.timedelta(days=1), "a year": dt.timedelta(days=365)}


def test_late_events_find_their_day_and_gold_is_told_of_it(lake: Lake) -> None:
    dataset = new_dataset(lake)
    lake.arrive(dataset, [sale(n, n, event_timestamp=NOON) for n in range(10)])
    build(lake.spark, lake.catalog, dataset)
    before = head_id(lake.catalog.load_table(f"silver.{dataset.name}"))
    lake.arrive(dataset, [sale(100 + n, 10 + n, event_timestamp=NOON - by) for n, by in enumerate(LATE.values())])
    result = build(lake.spark, lake.catalog, dataset)
    assert (result["rows_read"], result["rows"], result["rows_refused"]) == (3, 3, 0)
    silver = lake.catalog.load_table(f"silver.{dataset.name}")
    counted = lake.rows(f"silver.{dataset.name}", "transaction_date AS day, basket_id")
    assert len(counted) == 13
    found = {row["basket_id"]: row["day"] for row in counted if row["basket_id"] >= 100}
    assert set(found.values()) == {(NOON - by).date() for by in LATE.values()}
    partitions = {row["partition"]["transaction_date_month"] for row in silver.inspect.partitions().to_pylist()}
    assert partitions == {12 * 47 + 5, 12 * 46 + 5}
    changed = changed_partitions(silver, before, "transaction_date")
    assert changed is not None
    assert changed.ranges == (
        DateRange(dt.date(2016, 6, 1), dt.date(2016, 7, 1)),
        DateRange(dt.date(2017, 6, 1), dt.date(2017, 7, 1)),
    )


def test_gold_of_the_day_they_belong_to_is_built_again(lake: Lake, tmp_path: Path) -> None:
    dataset = new_dataset(lake)
    contracts, model = by_day(lake, dataset, tmp_path)
    months = [NOON, NOON - dt.timedelta(days=60), NOON - dt.timedelta(days=365)]
    lake.arrive(dataset, [sale(n, n, event_timestamp=when) for n, when in enumerate(months)])
    build(lake.spark, lake.catalog, dataset)
    gold.build(lake.spark, lake.catalog, contracts, model)
    before, untouched = figures(lake, model), files(lake, model, months[1])
    assert before == {when.date(): (1, decimal.Decimal("2.50")) for when in months}
    late = {by: NOON - LATE[by] for by in LATE}
    costly = {"sales_value": "7.00"}
    lake.arrive(dataset, [sale(9 + n, 9 + n, event_timestamp=when, **costly) for n, when in enumerate(late.values())])
    build(lake.spark, lake.catalog, dataset)
    gold.build(lake.spark, lake.catalog, contracts, model)
    assert figures(lake, model) == before | {
        late["an hour"].date(): (2, decimal.Decimal("9.50")),
        late["a day"].date(): (1, decimal.Decimal("7.00")),
        late["a year"].date(): (2, decimal.Decimal("9.50")),
    }
    assert files(lake, model, months[1]) == untouched, "a month without news was written again"


def test_late_events_are_counted_by_how_late_they_are(lake: Lake) -> None:
    dataset = dataclasses.replace(new_dataset(lake), watermark_seconds=3600)
    behind = {"hour": [1.1, 1.9], "day": [3, 24], "older": [26, 24 * 365]}
    on_time = [sale(n, n, event_timestamp=NOON - dt.timedelta(minutes=10 * n)) for n in range(5)]
    refused = sale(5, 5, event_timestamp=dt.datetime(2099, 1, 1, tzinfo=dt.UTC))
    lake.arrive(dataset, [*on_time, refused])
    assert "late" not in build(lake.spark, lake.catalog, dataset)
    hours = [hour for group in behind.values() for hour in group]
    late = [sale(10 + n, 10 + n, event_timestamp=NOON - dt.timedelta(hours=h)) for n, h in enumerate(hours)]
    lake.arrive(dataset, [*late, sale(30, 30, event_timestamp=NOON - dt.timedelta(minutes=59))])

    assert build(lake.spark, lake.catalog, dataset)["late"] == dict.fromkeys(behind, 2)

    silver = lake.catalog.load_table(f"silver.{dataset.name}")
    assert event_time(silver).newest == NOON, "what a rule refuses does not move the watermark"
    days = json.loads(properties_of(silver.current_snapshot())[LATE_DAYS])
    assert days == {"2017-06-15": 3, "2017-06-14": 2, "2016-06-15": 1}
    lake.arrive(dataset, [late[0] | {"_kafka_offset": 40}])
    restate(lake.spark, lake.catalog, dataset, NOON.date(), NOON.date() + dt.timedelta(days=1))
    build(lake.spark, lake.catalog, dataset)
    counted = event_time(lake.catalog.load_table(f"silver.{dataset.name}"))
    assert (counted.newest, counted.late) == (NOON, {"hour": 3, "day": 2, "older": 2}), "a repeat is late as well"
    assert len(lake.rows(f"silver.{dataset.name}")) == 12


def test_a_late_event_changes_its_window_and_a_repeat_none(stack: Settings, tmp_path: Path) -> None:
    """The view of the demo, over a live table and products of the test's own."""
    bronze, products = new_bronze(), f"live.products_{uuid.uuid4().hex[:8]}"
    text = (stack.live_views_dir / "loyalty" / "sales_per_minute.sql").read_text()
    view = f"per_minute_{bronze.dataset.name}"
    (tmp_path / "loyalty").mkdir()
    text = text.replace("live.transactions", f"live.{bronze.dataset.name}").replace("gold.dim_product", products)
    (tmp_path / "loyalty" / f"{view}.sql").write_text(text)
    follower = LiveFollower(bronze.dataset)

    def windows(*rows: dict[str, Any]) -> dict[dt.datetime, tuple[int, decimal.Decimal]]:
        bronze.commit(*rows)
        follower.catch_up()
        with writer() as client:
            client.command(
                f"CREATE TABLE IF NOT EXISTS {products} (product_id Int64, department Nullable(String), "
                "is_current Bool) ENGINE = MergeTree ORDER BY product_id"
            )
            assert make_views(client, views_of(bronze.dataset, tmp_path)) == ()
            found = client.query(f"SELECT minute, sum(lines), sum(sales_value) FROM live.{view} GROUP BY minute")
            return {minute.replace(tzinfo=dt.UTC): (lines, sales) for minute, lines, sales in found.result_rows}

    later = NOON + dt.timedelta(minutes=90)
    first = windows(row(1, 0, event_timestamp=NOON), row(2, 1, event_timestamp=NOON), row(3, 2, event_timestamp=later))
    assert first == {NOON: (2, decimal.Decimal("2.50")), later: (1, decimal.Decimal("1.25"))}

    late = {"event_timestamp": NOON + dt.timedelta(seconds=30), "sales_value": decimal.Decimal("7.00")}
    second = windows(row(4, 3, **late))
    assert second == first | {NOON: (3, decimal.Decimal("9.50"))}

    assert windows(row(4, 4, **late), row(1, 5, event_timestamp=NOON)) == second


def by_day(lake: Lake, dataset: Dataset, folder: Path) -> tuple[Contracts, Model]:
    """A gold table of sales by day, by month of which it is partitioned."""
    mart = Dataset(
        name=f"mart_{dataset.name}",
        domain="late",
        kind=Kind.MODEL,
        version="1.0.0",
        description="Sales by day",
        owner="tests",
        path=Path("late.yaml"),
        columns=(
            Column("day", Primitive.DATE, primary_key=True, sources=(f"{dataset.name}.transaction_date",)),
            Column("lines", Primitive.LONG),
            Column("sales", Decimal(20, 2)),
        ),
        partition_by=(PartitionField("day", "month"),),
        spread={dataset.name: Spread.SAME},
        change_column="day",
    )
    (folder / "late").mkdir()
    (folder / "late" / f"{mart.name}.sql").write_text(
        "SELECT transaction_date AS day, count(*) AS lines, sum(sales_value) AS sales "
        f"FROM silver.{dataset.name} GROUP BY transaction_date"
    )
    contracts = Contracts({dataset.name: dataset, mart.name: mart})
    apply_table(lake.catalog, mart, f"gold.{mart.name}")
    return contracts, load_model(mart, folder, contracts)


def figures(lake: Lake, model: Model) -> dict[dt.date, tuple[int, decimal.Decimal]]:
    """Lines and sales of each day in gold."""
    return {row["day"]: (row["lines"], row["sales"]) for row in lake.rows(f"gold.{model.dataset.name}")}


def files(lake: Lake, model: Model, when: dt.datetime) -> set[str]:
    """Data files of the month."""
    month = (when.year - 1970) * 12 + when.month - 1
    rows = lake.rows(f"gold.{model.dataset.name}.files", "file_path, partition.day_month AS month")
    return {row["file_path"] for row in rows if row["month"] == month}
