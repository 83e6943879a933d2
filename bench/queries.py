"""Queries on the gold marts in ClickHouse, from 1, 8 and 100 clients at once: latency as a client sees it.

Each client is a connection of its own that asks one query after another, as a BI tool's reader does. Needs the demo's
data.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import uvloop

from bench.clients import Connection, basic, latencies, percentiles
from bench.measure import Measurement
from bench.topics import Context
from headwater.errors import ConfigurationError
from headwater.settings import get_settings

CLIENTS = (1, 8, 100)
SECONDS = 10.0
P95_AT_MOST_MS = 300.0
QUERIES = (
    "SELECT toStartOfMonth(sale_date) AS month, sum(sales_value), sum(baskets) "
    "FROM gold.mart_finance_daily_revenue GROUP BY month ORDER BY month",
    "SELECT sale_date, sales_value, baskets FROM gold.mart_finance_daily_revenue "
    "WHERE sale_date >= '2017-11-01' AND sale_date < '2017-12-01' ORDER BY sale_date",
    "SELECT department, sum(total_disc) AS disc FROM gold.mart_finance_discounts "
    "WHERE sale_date >= '2017-06-01' GROUP BY department ORDER BY disc DESC LIMIT 10",
    "SELECT segment, count(), avg(monetary) FROM gold.mart_marketing_rfm GROUP BY segment ORDER BY segment",
    "SELECT hour_of_day, sum(baskets) FROM gold.mart_operations_store_hours "
    "WHERE store_id = 367 GROUP BY hour_of_day ORDER BY hour_of_day",
    "SELECT product_id, sum(sales_value) AS value FROM gold.mart_operations_product_performance "
    "WHERE department = 'GROCERY' AND sale_month = '2017-03-01' GROUP BY product_id ORDER BY value DESC LIMIT 20",
    "SELECT campaign_id, households_targeted, households_redeeming "
    "FROM gold.mart_marketing_campaign_response ORDER BY campaign_id",
)


def measure_queries(context: Context) -> list[Measurement]:
    """One line per number of clients; a row is a query."""
    ensure_marts()
    alone = _engine_alone()
    uvloop.run(latencies(reader, QUERIES, 1, SECONDS / 5))
    return [alone, *(_measure(clients, alone.rows_per_second) for clients in CLIENTS)]


def _engine_alone() -> Measurement:
    """The roofline, in a process of its own: an engine is one per process."""
    asked = json.dumps({"queries": QUERIES, "seconds": SECONDS})
    told = subprocess.run(
        [sys.executable, "-m", "bench.engine_alone"], input=asked, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    found = json.loads(told.splitlines()[-1])
    notes = {"cpu_ms_per_query": round(found["cpu_seconds"] / found["queries"] * 1000, 2)}
    return Measurement("the engine alone (roofline)", found["queries"], found["seconds"], notes=notes)


def _measure(clients: int, roofline: float) -> Measurement:
    begun, cpu = time.perf_counter(), time.process_time()
    waits = uvloop.run(latencies(reader, QUERIES, clients, SECONDS))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    notes = percentiles(waits)
    notes["of_roofline"] = round(len(waits) / seconds / roofline, 2)
    notes["clients_cpu_ms_per_query"] = round(cpu / len(waits) * 1000, 2)
    passed = notes["p95_ms"] < P95_AT_MOST_MS if clients == max(CLIENTS) else None
    return Measurement(f"queries on gold, {clients} clients", len(waits), seconds, passed=passed, notes=notes)


async def _one(query: str) -> bytes:
    async with reader() as connection:
        return await connection.ask(query)


def reader() -> Connection:
    """A connection to ClickHouse as the reader, who sees all of gold."""
    settings = get_settings()
    login = basic(settings.clickhouse_reader_user, settings.clickhouse_reader_password.get_secret_value())
    host, port = settings.clickhouse_host, settings.clickhouse_port
    return Connection(host, port, "/", login, secure=settings.clickhouse_secure)


def ensure_marts() -> None:
    """Raises `ConfigurationError` where the marts that are asked have no rows."""
    if uvloop.run(_one("SELECT count() FROM gold.mart_finance_daily_revenue")).strip() == b"0":
        raise ConfigurationError("the gold marts are empty", remedy="run `make demo` first")
