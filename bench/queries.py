"""Queries on the gold marts in ClickHouse, from 1, 8 and 100 clients at once: latency as a client sees it.

Each client is a connection of its own that asks one query after another, as a BI tool's reader does. All of them live
in one event loop with a parser in C, so that what is measured on these shared cores is the server (a thread and
urllib3 for each client took a third of a core from it). Needs the demo's data.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import statistics
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

import httptools
import uvloop

from bench.measure import Measurement
from bench.topics import Context
from headwater.errors import ConfigurationError
from headwater.settings import get_settings

CLIENTS = (1, 8, 100)
SECONDS = 10.0
P95_AT_MOST_MS = 300.0
TIMEOUT_SECONDS = 60.0
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
    answer = uvloop.run(_one("SELECT count() FROM gold.mart_finance_daily_revenue"))
    if answer.strip() == b"0":
        raise ConfigurationError("the gold marts are empty", remedy="run `make demo` first")
    alone = _engine_alone()
    uvloop.run(_latencies(1, SECONDS / 5))
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
    latencies = uvloop.run(_latencies(clients, SECONDS))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    cuts = statistics.quantiles(latencies, n=100)
    notes = {f"p{p}_ms": round(cuts[p - 1] * 1000, 1) for p in (50, 95, 99)}
    notes["of_roofline"] = round(len(latencies) / seconds / roofline, 2)
    notes["clients_cpu_ms_per_query"] = round(cpu / len(latencies) * 1000, 2)
    passed = notes["p95_ms"] < P95_AT_MOST_MS if clients == max(CLIENTS) else None
    return Measurement(f"queries on gold, {clients} clients", len(latencies), seconds, passed=passed, notes=notes)


async def _latencies(clients: int, seconds: float) -> list[float]:
    """Seconds of every query that the clients have asked; all are connected before the first asks."""
    barrier = asyncio.Barrier(clients)

    async def client(number: int) -> list[float]:
        found: list[float] = []
        async with _Connection() as connection:
            await connection.ask("SELECT 1")
            await barrier.wait()
            until = time.perf_counter() + seconds
            while (begun := time.perf_counter()) < until:
                await connection.ask(QUERIES[(number + len(found)) % len(QUERIES)])
                found.append(time.perf_counter() - begun)
        return found

    return [latency for found in await asyncio.gather(*map(client, range(clients))) for latency in found]


async def _one(query: str) -> bytes:
    async with _Connection() as connection:
        return await connection.ask(query)


class _Connection(asyncio.Protocol):
    """One reader's connection, kept alive; one query at a time. Its `on_…` are called by the parser."""

    async def __aenter__(self) -> Self:
        settings = get_settings()
        tls = ssl.create_default_context() if settings.clickhouse_secure else None
        host, port = settings.clickhouse_host, settings.clickhouse_port
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, host, port, ssl=tls)
        self._transport = transport
        user, password = settings.clickhouse_reader_user, settings.clickhouse_reader_password.get_secret_value()
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._head = f"POST / HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {credentials}\r\nContent-Length: "
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()

    async def ask(self, query: str) -> bytes:
        """The answer; `RuntimeError` where it is not 200, `TimeoutError` after a minute."""
        return await self.send(f"{query} FORMAT TabSeparated".encode())

    async def send(self, body: bytes) -> bytes:
        """One request with this body; fails as `ask` does."""
        self._parser, self._body = httptools.HttpResponseParser(self), bytearray()
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._transport.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        return await asyncio.wait_for(self._answer, TIMEOUT_SECONDS)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        if (status := self._parser.get_status_code()) != 200:
            self._answer.set_exception(RuntimeError(f"{status}: {bytes(self._body[:300])!r}"))
        elif not self._answer.done():
            self._answer.set_result(bytes(self._body))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the server closed the connection"))
