"""Calls of the API from 1, 10 and 100 clients at once, beside the same queries asked of ClickHouse directly.

Three ways, on the queries of `bench.queries`, all as the same analyst over the same views: ClickHouse itself, `POST
/v1/queries` with an answer that is not in the cache (each asks for another number of rows), and the same again out of
the cache. All clients live in one event loop, as there. Needs the demo's data and a running API.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Self

import httptools
import uvloop

from bench.measure import Measurement
from bench.queries import QUERIES, TIMEOUT_SECONDS, _Connection, _one
from bench.topics import Context
from headwater.errors import ConfigurationError
from headwater.identity.keys import IdentityKeys
from headwater.identity.store import IdentityStore, UnknownIdentity
from headwater.identity.vouching import vouch
from headwater.policy.model import Surface
from headwater.settings import LOOPBACK, Settings, get_settings

CLIENTS = (1, 10, 100)
SECONDS = 8.0
AT_LEAST = 300.0
"""Requests a second through the API, not out of the cache."""

OVERHEAD_AT_MOST_MS = 15.0
NAME = "bench.api"
DATABASE = "role_analyst"
_NUMBERS = itertools.count()
Ask = Callable[[int], Awaitable[object]]


class _Bare(_Connection):
    """One client of ClickHouse, logged in as the API does it."""

    def __init__(self, password: str) -> None:
        self._password = password

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        login = base64.b64encode(f"{NAME}:{self._password}".encode()).decode()
        self._head = f"POST / HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: Basic {login}\r\nContent-Length: "
        return self

    async def ask(self, query: str) -> bytes:
        """The answer, from the role's own views."""
        return await super().ask(query.replace("gold.", f"{DATABASE}."))


class _Api(_Connection):
    """One client of the API."""

    def __init__(self, key: str, *, kept: bool) -> None:
        self._key, self._kept = key, kept

    async def __aenter__(self) -> Self:
        settings = get_settings()
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(lambda: self, LOOPBACK, settings.api_port)
        self._head = (
            f"POST /v1/queries HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: Bearer {self._key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        return self

    async def ask(self, query: str) -> bytes:
        """The answer; `RuntimeError` where it is not 200."""
        self._parser, self._body = httptools.HttpResponseParser(self), bytearray()
        self._answer = asyncio.get_running_loop().create_future()
        rows = 1000 if self._kept else 100 + next(_NUMBERS) % 900
        body = json.dumps({"sql": query, "max_rows": rows}).encode()
        self._transport.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        return await asyncio.wait_for(self._answer, TIMEOUT_SECONDS)


def measure_api(context: Context) -> list[Measurement]:
    """Three lines per number of clients; a row is a call."""
    if uvloop.run(_one("SELECT count() FROM gold.mart_finance_daily_revenue")).strip() == b"0":
        raise ConfigurationError("the gold marts are empty", remedy="run `make demo` first")
    password, key = _login(get_settings())
    ways: dict[str, Callable[[], _Connection]] = {
        "ClickHouse itself": partial(_Bare, password),
        "through the API": partial(_Api, key, kept=False),
        "out of its cache": partial(_Api, key, kept=True),
    }
    found = []
    for clients in CLIENTS:
        bare = 0.0
        for name, connect in ways.items():
            uvloop.run(_latencies(connect, clients, SECONDS / 8))
            begun = time.perf_counter()
            waits = uvloop.run(_latencies(connect, clients, SECONDS))
            made = _measurement(name, clients, waits, time.perf_counter() - begun, bare)
            bare = bare or made.notes["p50_ms"]
            found.append(made)
    return found


def _measurement(name: str, clients: int, waits: list[float], seconds: float, bare: float) -> Measurement:
    cuts = statistics.quantiles(waits, n=100)
    notes = {f"p{p}_ms": round(cuts[p - 1] * 1000, 1) for p in (50, 95, 99)}
    passed = None
    if bare:
        notes["overhead_ms"] = round(notes["p50_ms"] - bare, 1)
    if name == "through the API":
        passed = notes["overhead_ms"] < OVERHEAD_AT_MOST_MS if clients == 1 else None
        passed = len(waits) / seconds >= AT_LEAST if clients > 1 else passed
    return Measurement(f"{name}, {clients} clients", len(waits), seconds, passed=passed, notes=notes)


async def _latencies(connect: Callable[[], _Connection], clients: int, seconds: float) -> list[float]:
    """Seconds of every call; all are connected before the first asks."""
    barrier = asyncio.Barrier(clients)

    async def client(number: int) -> list[float]:
        found: list[float] = []
        async with connect() as connection:
            await connection.ask(QUERIES[number % len(QUERIES)])
            await barrier.wait()
            until = time.perf_counter() + seconds
            while (begun := time.perf_counter()) < until:
                await connection.ask(QUERIES[(number + len(found)) % len(QUERIES)])
                found.append(time.perf_counter() - begun)
        return found

    return [latency for found in await asyncio.gather(*map(client, range(clients))) for latency in found]


def _login(settings: Settings) -> tuple[str, str]:
    """Of a service account that sees what an analyst does: what the API vouches with, and a key good for a day."""
    store = IdentityStore(settings)
    keys = IdentityKeys(settings, store)
    try:
        try:
            store.get(NAME)
        except UnknownIdentity:
            store.add(NAME, "service", ["analysts"], {}, None)
        return vouch(settings, store.get(NAME), Surface.API), keys.create(NAME, "benchmark", ["api:query"], 1)[0]
    finally:
        keys.close()
        store.close()
