"""Fault 19: a range is backfilled twice while the live pipeline runs. Same rows each time; live ones are there."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.datasets.cases import Lake
from tests.faults.test_fault_20_late_events import by_day, figures
from tests.integration.lake.sales import new_dataset, sale
from tests.jobs import content, wait_until

from headwater.contracts.model import Contracts, Dataset
from headwater.lake import gold
from headwater.lake.models import Model
from headwater.lake.restate import restate
from headwater.lake.silver import build

pytestmark = [pytest.mark.integration, pytest.mark.fault]

JUNE, JULY = dt.date(2017, 6, 1), dt.date(2017, 7, 1)
NOON = dt.datetime(2017, 6, 15, 12, tzinfo=dt.UTC)
FIRST_LIVE = 1_000


def test_a_range_that_is_backfilled_twice_under_a_live_pipeline(lake: Lake, tmp_path: Path) -> None:
    dataset = new_dataset(lake)
    contracts, model = by_day(lake, dataset, tmp_path)
    lake.arrive(dataset, [sale(n, n, event_timestamp=NOON + dt.timedelta(hours=n)) for n in range(100)])
    build(lake.spark, lake.catalog, dataset)
    gold.build(lake.spark, lake.catalog, contracts, model)
    expected = june(lake, dataset, model)

    found = []
    with LivePipeline(lake, dataset, contracts, model) as live:
        for _ in range(2):
            live.await_more()
            restate(lake.spark, lake.catalog, dataset, JUNE, JULY)
            gold.build(lake.spark, lake.catalog, contracts, model, gold.requested_range(JUNE, JULY))
            found.append(june(lake, dataset, model))
            live.await_more()

    assert found == [expected, expected]
    rows = lake.rows(f"silver.{dataset.name}", "basket_id")
    assert sorted(row["basket_id"] for row in rows) == [*range(100), *live.sales]
    assert figures(lake, model)[NOON.date().replace(month=8)][0] == len(live.sales), "gold has them too"


class LivePipeline:
    """Sales of August arrive one by one and are built into silver and gold, in a session of its own, until the end."""

    def __init__(self, lake: Lake, dataset: Dataset, contracts: Contracts, model: Model) -> None:
        self.sales: list[int] = []
        self._lake = Lake(lake.spark.newSession(), lake.catalog)
        self._dataset, self._contracts, self._model = dataset, contracts, model
        self._stop = threading.Event()
        self._run = ThreadPoolExecutor(1)

    def __enter__(self) -> LivePipeline:
        self._running = self._run.submit(self._go_on)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._running.result(120)

    def await_more(self) -> None:
        """Until another sale has come through."""
        so_far = len(self.sales)
        wait_until(lambda: len(self.sales) > so_far or self._running.done(), "the live pipeline goes on")
        assert not self._running.done(), self._running.exception()

    def _go_on(self) -> None:
        lake, number = self._lake, FIRST_LIVE
        while not self._stop.is_set():
            lake.arrive(self._dataset, [sale(number, number, event_timestamp=NOON.replace(month=8))])
            build(lake.spark, lake.catalog, self._dataset)
            gold.build(lake.spark, lake.catalog, self._contracts, self._model)
            self.sales.append(number)
            number += 1


def june(lake: Lake, dataset: Dataset, model: Model) -> str:
    """A hash over all rows of the range, in silver and in gold."""
    within = f"WHERE transaction_date >= DATE'{JUNE}' AND transaction_date < DATE'{JULY}'"
    silver = content(lake.rows(f"silver.{dataset.name} {within}"), ())
    mart = content(lake.rows(f"gold.{model.dataset.name} {within.replace('transaction_date', 'day')}"), ())
    assert len(silver) == 100
    return hashlib.sha256(repr((silver, mart)).encode()).hexdigest()
