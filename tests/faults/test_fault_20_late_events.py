"""Fault 20: events that are an hour, a day and a year late. All are counted and lie in the partition of their day."""

from __future__ import annotations

import datetime as dt

import pytest
from tests.datasets.cases import Lake
from tests.integration.lake.sales import new_dataset, sale

from headwater.lake.changes import DateRange, changed_partitions
from headwater.lake.silver import build
from headwater.lake.snapshots import head_id

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
