"""Gold in ClickHouse equals gold in the lake, by swaps of what changed, however often a load is killed or repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from pyspark.sql import SparkSession
from tests.integration.lake.shop import FIRST, OPEN, Shop, open_shop

from headwater.lake.catalog import get_catalog
from headwater.lake.partitions import dates
from headwater.lake.snapshots import head_id
from headwater.settings import get_settings
from headwater.warehouse.arrow import LoadRefused
from headwater.warehouse.client import writer
from headwater.warehouse.ddl import TableDiffers, table_uuid
from headwater.warehouse.loading import Loaded, load, loadable

pytestmark = pytest.mark.integration

NAMES = ("dim_item", "fct_sale", "mart_day")
LATEST = datetime(2299, 12, 31, tzinfo=UTC)


@pytest.fixture
def client(stack: Any) -> Iterator[Client]:
    found = writer()
    yield found
    found.close()


@pytest.fixture
def shop(spark: SparkSession, client: Client, tmp_path: Path) -> Iterator[Shop]:
    """A shop of its own with a sale in each of three months, built, not loaded yet."""
    spark.catalog.setCurrentCatalog("lake")
    opened = open_shop(spark, get_catalog(), tmp_path / "models", f"w{uuid.uuid4().hex[:8]}_")
    opened.items((1, "one", FIRST, OPEN), (2, "two", FIRST, OPEN))
    opened.sell((1, 1, date(2017, 1, 5), "1.50"), (2, 2, date(2017, 2, 5), "2.50"), (3, 3, date(2017, 3, 5), "5.50"))
    opened.build_all()
    yield opened
    for name in NAMES:
        client.command(f"DROP TABLE IF EXISTS gold.{opened.prefix}{name} SYNC")


def load_shop(shop: Shop, client: Client, **options: Any) -> dict[str, Loaded]:
    datasets = loadable(shop.contracts, "shop")
    loaded = load(client, shop.catalog, datasets, **options)
    return {item.dataset.removeprefix(shop.prefix): item for item in loaded}


def warehouse_rows(shop: Shop, client: Client, name: str) -> list[tuple[Any, ...]]:
    columns = ", ".join(c.name for c in shop.dataset(name).columns)
    return sorted(tuple(r) for r in client.query(f"SELECT {columns} FROM gold.{shop.prefix}{name}").result_rows)


def parts(shop: Shop, client: Client, name: str) -> dict[str, set[str]]:
    """Names of the active parts by partition: a part that was not touched keeps its name."""
    query = "SELECT partition_id, groupArray(name) FROM system.parts WHERE active AND table = {t:String} GROUP BY 1"
    query = query.replace("WHERE", "WHERE database = 'gold' AND")
    return {p: set(n) for p, n in client.query(query, {"t": f"{shop.prefix}{name}"}).result_rows}


def loads_of(shop: Shop, client: Client) -> int:
    query = f"SELECT count() FROM platform.loads WHERE startsWith(dataset, '{shop.prefix}')"
    return client.query(query).result_rows[0][0]


def shown(shop: Shop, client: Client, name: str) -> tuple[Any, ...]:
    query = "SELECT snapshot_id, seen_at, quality FROM platform.shown FINAL WHERE dataset = {d:String}"
    return client.query(query, {"d": f"{shop.prefix}{name}"}).result_rows[0]


def assert_shows_the_lake(shop: Shop, client: Client) -> None:
    for name in ("fct_sale", "mart_day"):
        assert warehouse_rows(shop, client, name) == shop.rows(name)
    assert len(warehouse_rows(shop, client, "dim_item")) == len(shop.rows("dim_item"))


def test_a_first_load_shows_the_lake_and_a_second_changes_nothing(shop: Shop, client: Client) -> None:
    loaded = load_shop(shop, client)
    assert {name: item.rows for name, item in loaded.items()} == {"dim_item": 3, "fct_sale": 3, "mart_day": 3}
    assert_shows_the_lake(shop, client)
    before = {name: parts(shop, client, name) for name in NAMES}, loads_of(shop, client)
    assert load_shop(shop, client) == {}
    assert ({name: parts(shop, client, name) for name in NAMES}, loads_of(shop, client)) == before


def test_what_is_shown_is_told_with_its_quality_and_when_it_was_last_seen_to_be_current(
    shop: Shop, client: Client
) -> None:
    load_shop(shop, client)
    snapshot, seen, quality = shown(shop, client, "fct_sale")
    assert snapshot == head_id(shop.catalog.load_table(f"gold.{shop.prefix}fct_sale"))
    assert {result["passed"] for result in json.loads(quality)} == {True}
    load_shop(shop, client)
    again, later, _ = shown(shop, client, "fct_sale")
    assert (again, later > seen) == (snapshot, True)


def test_the_open_end_of_a_history_is_the_end_of_the_calendar(shop: Shop, client: Client) -> None:
    load_shop(shop, client)
    ends = client.query(f"SELECT DISTINCT valid_to FROM gold.{shop.prefix}dim_item").result_rows
    assert [end.replace(tzinfo=UTC) for (end,) in ends] == [LATEST]


def test_only_changed_partitions_are_swapped_and_an_emptied_one_goes(shop: Shop, client: Client) -> None:
    load_shop(shop, client)
    january = parts(shop, client, "fct_sale")["201701"]
    shop.sell((4, 1, date(2017, 2, 6), "7.00"))
    shop.delete_sales("sale_id = 3")
    shop.build_all()
    loaded = load_shop(shop, client)
    assert loaded["fct_sale"].rows == 2
    assert "dim_item" not in loaded
    assert_shows_the_lake(shop, client)
    assert set(parts(shop, client, "fct_sale")) == {"201701", "201702"}
    assert parts(shop, client, "fct_sale")["201701"] == january


def test_a_dimension_is_exchanged_whole(shop: Shop, client: Client) -> None:
    load_shop(shop, client)
    before = table_uuid(client, "gold", f"{shop.prefix}dim_item")
    shop.items((1, "eins", FIRST, OPEN), (2, "two", FIRST, OPEN), (7, "seven", FIRST, OPEN))
    shop.build_all()
    assert load_shop(shop, client)["dim_item"].rows == 4
    assert table_uuid(client, "gold", f"{shop.prefix}dim_item") != before
    assert {r[2] for r in warehouse_rows(shop, client, "dim_item")} == {"Unknown", "eins", "two", "seven"}


def test_a_load_killed_before_the_swap_is_repeated_harmlessly(shop: Shop, client: Client) -> None:
    load_shop(shop, client)
    before = {name: warehouse_rows(shop, client, name) for name in NAMES}, loads_of(shop, client)
    shop.sell((4, 1, date(2017, 2, 6), "7.00"))
    shop.build_all()
    script = f"""
        import os, signal
        from pathlib import Path
        from headwater.lake.catalog import get_catalog
        from headwater.contracts.model import Contracts
        from headwater.warehouse.client import writer
        from headwater.warehouse.loading import load, loadable
        from tests.integration.lake.shop import datasets

        contracts = Contracts({{d.name: d for d in datasets({shop.prefix!r})}})
        kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
        load(writer(), get_catalog(), loadable(contracts, "shop"), before_swap=kill)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(get_settings().project_dir), *sys.path])}
    assert subprocess.run(command, env=environment, check=False, timeout=300).returncode == -signal.SIGKILL
    assert client.query(f"SELECT count() FROM staging.{shop.prefix}fct_sale").result_rows == [(2,)]
    assert ({name: warehouse_rows(shop, client, name) for name in NAMES}, loads_of(shop, client)) == before
    assert load_shop(shop, client)["fct_sale"].rows == 2
    assert_shows_the_lake(shop, client)
    assert client.query(f"EXISTS TABLE staging.{shop.prefix}fct_sale").result_rows == [(0,)]


def test_a_load_killed_after_the_swap_is_repeated_harmlessly(shop: Shop, client: Client) -> None:
    load_shop(shop, client)
    forget = f"DELETE FROM platform.loads WHERE startsWith(dataset, '{shop.prefix}')"
    client.command(forget, settings={"lightweight_deletes_sync": 2})
    assert set(load_shop(shop, client)) == set(NAMES)
    assert_shows_the_lake(shop, client)


def test_a_table_that_was_dropped_is_loaded_again(shop: Shop, client: Client) -> None:
    load_shop(shop, client)
    client.command(f"DROP TABLE gold.{shop.prefix}fct_sale SYNC")
    assert set(load_shop(shop, client)) == {"fct_sale"}
    assert_shows_the_lake(shop, client)


def test_a_requested_range_is_loaded_whatever_has_changed(shop: Shop, client: Client) -> None:
    load_shop(shop, client)
    client.command(f"INSERT INTO gold.{shop.prefix}fct_sale VALUES (99, 'x', 9, '2017-02-07', 9)")
    loaded = load_shop(shop, client, requested=dates(date(2017, 2, 7), date(2017, 2, 8)))
    assert loaded["fct_sale"].replaced == "2017-02-01..2017-03-01"
    assert_shows_the_lake(shop, client)


def test_a_table_that_differs_from_its_contract_is_refused(shop: Shop, client: Client) -> None:
    load_shop(shop, client)
    client.command(f"ALTER TABLE gold.{shop.prefix}mart_day DROP COLUMN sales")
    with pytest.raises(TableDiffers, match="ADD COLUMN sales.*contract apply"):
        load_shop(shop, client)


def test_a_null_in_a_required_column_is_refused_before_any_swap(shop: Shop, client: Client) -> None:
    load_shop(shop, client)
    before = warehouse_rows(shop, client, "mart_day")
    table = f"lake.gold.{shop.prefix}mart_day"
    shop.spark.sql(f"INSERT INTO {table} VALUES (DATE'2017-01-07', null, 1.00)")
    with pytest.raises(LoadRefused, match="1 rows have no sales"):
        load_shop(shop, client)
    assert warehouse_rows(shop, client, "mart_day") == before
