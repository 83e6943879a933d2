"""The views over live tables, in a ClickHouse of their own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from headwater.contracts.clickhouse import create_table_sql
from headwater.contracts.loader import load_dataset
from headwater.embedded import stack as embedded
from headwater.errors import TerminalError
from headwater.settings import Settings
from headwater.streaming.live_tables import ensure_tables, make_views
from headwater.streaming.live_views import views_of
from headwater.warehouse.client import reader, writer

pytestmark = pytest.mark.integration

NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)
PRODUCT = {"product_key": "", "product_id": 0, "department": "GROCERY", "is_current": True}
SALE = {"event_id": "", "event_timestamp": NOON, "household_id": 1, "store_id": 1, "basket_id": 1, "product_id": 1}
SALE |= {"quantity": 1, "sales_value": Decimal("1.25"), "week": 9, "_kafka_partition": 0, "_kafka_offset": 0}


@pytest.fixture(scope="module")
def client(module_home: Settings) -> Iterator[Client]:
    """Live sales of two stores and departments, one repeat, one product nobody knows; products with history."""
    embedded.up(("clickhouse",), print)
    connected = writer()
    sales = load_dataset("transactions")
    ensure_tables(connected, sales)
    views = views_of(sales, module_home.live_views_dir)
    assert make_views(connected, views) == views, "the products are not there yet"
    assert not connected.command("EXISTS TABLE live.sales_per_minute")
    connected.command("CREATE DATABASE IF NOT EXISTS gold")
    connected.command(create_table_sql(load_dataset("dim_product")))
    assert make_views(connected, views) == ()
    insert(
        connected,
        "gold.dim_product",
        PRODUCT | {"product_key": "1 old", "product_id": 1, "department": "CANDY", "is_current": False},
        PRODUCT | {"product_key": "1 new", "product_id": 1},
        PRODUCT | {"product_key": "2", "product_id": 2, "department": "MEAT"},
    )
    now = datetime.now(UTC)
    live = [
        {},
        {"product_id": 2, "sales_value": Decimal("2.50"), "quantity": 3},
        {"basket_id": 2, "event_timestamp": NOON + timedelta(seconds=59)},
        {"basket_id": 3, "event_timestamp": NOON + timedelta(seconds=60)},
        {"basket_id": 4, "store_id": 2, "product_id": 77, "sales_value": Decimal("0.10")},
        {"basket_id": 5, "store_id": 2, "_ingested_at": now - timedelta(days=2)},
        {"_kafka_offset": 9},
    ]
    for row in live:  # one insert each: a repeat comes later, in a part of its own
        insert(connected, "live.transactions", SALE | {"_ingested_at": now} | row)
    yield connected
    connected.close()


def insert(client: Client, table: str, *rows: dict[str, Any]) -> None:
    client.insert(table, [list(row.values()) for row in rows], column_names=list(rows[0]))


def test_sales_per_minute_counts_each_line_once_under_its_department_of_today(client: Client) -> None:
    assert client.query("SELECT count() FROM live.transactions").result_rows == [(7,)], "the repeat is stored"
    with reader() as analyst:
        answer = analyst.query("SELECT * FROM live.sales_per_minute ORDER BY minute, store_id, department")
        rows = [(row.pop("minute").replace(tzinfo=UTC), *row.values()) for row in answer.named_results()]
    later = NOON + timedelta(minutes=1)
    assert rows == [
        (NOON, 1, "GROCERY", 2, 2, 2, Decimal("2.50")),
        (NOON, 1, "MEAT", 1, 1, 3, Decimal("2.50")),
        (NOON, 2, "(unknown)", 1, 1, 1, Decimal("0.10")),
        (later, 1, "GROCERY", 1, 1, 1, Decimal("1.25")),
    ]


def test_a_view_is_found_by_the_live_tables_it_reads(tmp_path: Path) -> None:
    folder = tmp_path / "loyalty"
    folder.mkdir()
    (folder / "mine.sql").write_text(
        "WITH x AS (SELECT a FROM live.transactions) SELECT * FROM x JOIN gold.y USING (a)"
    )
    (folder / "other.sql").write_text("SELECT 'live.transactions' FROM live.coupon_redemptions")
    found = views_of(load_dataset("transactions"), tmp_path)
    assert [(view.name, view.tables) for view in found] == [("mine", ("gold.y", "live.transactions"))]


@pytest.mark.parametrize("text", ["SELECT FROM WHERE (", "DROP TABLE live.transactions"])
def test_a_file_that_is_no_select_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "loyalty").mkdir()
    (tmp_path / "loyalty" / "bad.sql").write_text(text)
    with pytest.raises(TerminalError, match=r"bad\.sql"):
        views_of(load_dataset("transactions"), tmp_path)
