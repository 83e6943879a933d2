"""A load into ClickHouse is killed between two of its swaps: some tables are new, others old. The next one mends it."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from pyspark.sql import SparkSession
from tests.integration.lake.shop import FIRST, OPEN, Shop, open_shop
from tests.jobs import PROJECT

from headwater.environment import child_environment
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings
from headwater.warehouse.client import writer
from headwater.warehouse.loading import load, loadable

pytestmark = [pytest.mark.integration, pytest.mark.fault]

KILLED_LOAD = """
    import os, signal
    from clickhouse_connect.driver.httpclient import HttpClient
    from headwater.contracts.model import Contracts
    from headwater.lake.catalog import get_catalog
    from headwater.warehouse.client import writer
    from headwater.warehouse.loading import load, loadable
    from tests.integration.lake.shop import datasets

    swaps, command = 0, HttpClient.command

    def counting(self, cmd, *args, **kwargs):
        global swaps
        if cmd.startswith(("EXCHANGE TABLES gold.", "ALTER TABLE gold.")):
            if swaps == {swaps}:
                os.kill(os.getpid(), signal.SIGKILL)
            swaps += 1
        return command(self, cmd, *args, **kwargs)

    HttpClient.command = counting
    contracts = Contracts({{d.name: d for d in datasets({prefix!r})}})
    load(writer(), get_catalog(), loadable(contracts, "shop"))
"""
"""Swaps so often and is killed where it would once more."""


@pytest.fixture
def shop(stack: Settings, spark: SparkSession, tmp_path: Path) -> Iterator[Shop]:
    """A shop of its own that is built and loaded."""
    spark.catalog.setCurrentCatalog("lake")
    opened = open_shop(spark, get_catalog(), tmp_path / "models", f"k{uuid.uuid4().hex[:8]}_")
    opened.items((1, "one", FIRST, OPEN), (2, "two", FIRST, OPEN))
    opened.sell((1, 1, date(2017, 1, 5), "1.50"), (2, 2, date(2017, 2, 5), "2.50"), (3, 3, date(2017, 3, 5), "5.50"))
    opened.build_all()
    yield opened
    client = writer()
    for name in opened.models:
        client.command(f"DROP TABLE IF EXISTS gold.{opened.prefix}{name} SYNC")
        client.command(f"DROP TABLE IF EXISTS staging.{opened.prefix}{name} SYNC")
    client.close()


def test_the_next_load_mends_what_a_killed_one_left(shop: Shop) -> None:
    client = writer()
    datasets = loadable(shop.contracts, "shop")
    load(client, shop.catalog, datasets)
    for swaps in (1, 2, 3):
        before = shown(shop, client)
        shop.items((1, f"one of {swaps}", FIRST, OPEN), (2, "two", FIRST, OPEN), (3, "three", FIRST, OPEN))
        shop.sell((10 + swaps, 3, date(2017, 2, 5 + swaps), "7.00"), (20 + swaps, 1, date(2017, 4, swaps), "0.25"))
        shop.delete_sales("sale_id = 3")
        shop.build_all()
        script = textwrap.dedent(KILLED_LOAD).format(swaps=swaps, prefix=shop.prefix)
        killed = subprocess.run(
            [sys.executable, "-c", script],
            env=child_environment({"PYTHONPATH": str(PROJECT)}),
            check=False,
            timeout=300,
        )
        assert killed.returncode == -signal.SIGKILL
        between = shown(shop, client)
        assert between != before
        assert between != expected(shop), "it was killed before the last swap"
        load(client, shop.catalog, datasets)
        assert shown(shop, client) == expected(shop)
        assert load(client, shop.catalog, datasets) == []
    client.close()


def shown(shop: Shop, client: Client) -> dict[str, list[tuple[object, ...]]]:
    """What ClickHouse shows of each table; of times, which both engines give in their own way, nothing."""
    found = {}
    for name in shop.models:
        columns = ", ".join(c.name for c in shop.dataset(name).columns if not c.name.startswith("valid_"))
        query = f"SELECT {columns} FROM gold.{shop.prefix}{name}"
        found[name] = sorted(tuple(row) for row in client.query(query).result_rows)
    return found


def expected(shop: Shop) -> dict[str, list[tuple[object, ...]]]:
    """The same columns as the lake has them."""
    return {
        name: sorted(
            tuple(value for column, value in row.asDict().items() if not column.startswith("valid_"))
            for row in shop.spark.table(f"lake.gold.{shop.prefix}{name}").collect()
        )
        for name in shop.models
    }
