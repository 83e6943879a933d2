"""Queries on the gold marts in ClickHouse, from 1, 8 and 100 clients at once: latency as a client sees it.

Each client is a thread with a connection of its own that asks one query after another, as a BI tool's reader does. The
clients run on the same cores as the server, so their own work is in the figures. Needs the demo's data.
"""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import urllib3

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
    answer = _ask(_pool(), "SELECT count() FROM gold.mart_finance_daily_revenue")
    if answer.strip() == b"0":
        raise ConfigurationError("the gold marts are empty", remedy="run `make demo` first")
    _latencies(1, SECONDS / 5)
    return [_measure(clients) for clients in CLIENTS]


def _measure(clients: int) -> Measurement:
    begun = time.perf_counter()
    latencies = _latencies(clients, SECONDS)
    seconds = time.perf_counter() - begun
    cuts = statistics.quantiles(latencies, n=100)
    notes = {f"p{p}_ms": round(cuts[p - 1] * 1000, 1) for p in (50, 95, 99)}
    passed = notes["p95_ms"] < P95_AT_MOST_MS if clients == max(CLIENTS) else None
    return Measurement(f"queries on gold, {clients} clients", len(latencies), seconds, passed=passed, notes=notes)


def _latencies(clients: int, seconds: float) -> list[float]:
    """Seconds of every query that the clients have asked; all begin together."""
    barrier = threading.Barrier(clients)

    def client(number: int) -> list[float]:
        pool, found = _pool(), []
        _ask(pool, "SELECT 1")  # connects
        barrier.wait(timeout=60)
        until = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < until:
            _ask(pool, QUERIES[(number + len(found)) % len(QUERIES)])
            found.append(time.perf_counter() - begun)
        return found

    with ThreadPoolExecutor(clients) as executor:
        return [latency for found in executor.map(client, range(clients)) for latency in found]


def _pool() -> urllib3.HTTPConnectionPool:
    settings = get_settings()
    kind = urllib3.HTTPSConnectionPool if settings.clickhouse_secure else urllib3.HTTPConnectionPool
    headers = {
        "X-ClickHouse-User": settings.clickhouse_reader_user,
        "X-ClickHouse-Key": settings.clickhouse_reader_password.get_secret_value(),
    }
    return kind(settings.clickhouse_host, settings.clickhouse_port, maxsize=1, headers=headers)


def _ask(pool: urllib3.HTTPConnectionPool, query: str) -> bytes:
    answer = pool.request("POST", "/", body=f"{query} FORMAT TabSeparated".encode(), timeout=60, retries=False)
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {answer.data[:300]!r}")
    return answer.data
