"""Calls of the API from 1, 10 and 100 clients at once, beside the same queries asked of ClickHouse directly.

Three ways, on the queries of `bench.queries`, all as the same analyst over the same views: ClickHouse itself, `POST
/v1/queries` with an answer that is not in the cache (each asks for another number of rows), and the same again out of
the cache. Needs the demo's data and a running API.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import uvloop

from bench.clients import Connection, basic, key_of, latencies, percentiles
from bench.measure import Measurement
from bench.queries import QUERIES, ensure_marts
from bench.topics import Context
from headwater.identity.store import IdentityStore
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


class _Bare(Connection):
    """One client of ClickHouse, logged in as the API does it."""

    async def ask(self, query: str) -> bytes:
        """The answer, from the role's own views."""
        return await super().ask(query.replace("gold.", f"{DATABASE}."))


class _Api(Connection):
    """One client of the API; `kept`: it asks the same again and again."""

    def __init__(self, *place: Any, kept: bool) -> None:
        super().__init__(*place)
        self._kept = kept

    async def ask(self, query: str) -> bytes:
        """The answer; `RuntimeError` where it is not 200."""
        rows = 1000 if self._kept else 100 + next(_NUMBERS) % 900
        return await self.send(json.dumps({"sql": query, "max_rows": rows}).encode())


def measure_api(context: Context) -> list[Measurement]:
    """Three lines per number of clients; a row is a call."""
    ensure_marts()
    settings = get_settings()
    key = key_of(settings, NAME, "analysts", "api:query")
    place = (
        LOOPBACK,
        settings.api_port,
        "/v1/queries",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
    )
    login = basic(NAME, _vouched(settings))
    ways: dict[str, Callable[[], Connection]] = {
        "ClickHouse itself": partial(_Bare, settings.clickhouse_host, settings.clickhouse_port, "/", login),
        "through the API": partial(_Api, *place, kept=False),
        "out of its cache": partial(_Api, *place, kept=True),
    }
    found = []
    for clients in CLIENTS:
        bare = 0.0
        for name, connect in ways.items():
            uvloop.run(latencies(connect, QUERIES, clients, SECONDS / 8))
            begun = time.perf_counter()
            waits = uvloop.run(latencies(connect, QUERIES, clients, SECONDS))
            made = _measurement(name, clients, waits, time.perf_counter() - begun, bare)
            bare = bare or made.notes["p50_ms"]
            found.append(made)
    return found


def _measurement(name: str, clients: int, waits: list[float], seconds: float, bare: float) -> Measurement:
    notes = percentiles(waits)
    passed = None
    if bare:
        notes["overhead_ms"] = round(notes["p50_ms"] - bare, 1)
    if name == "through the API":
        passed = notes["overhead_ms"] < OVERHEAD_AT_MOST_MS if clients == 1 else None
        passed = len(waits) / seconds >= AT_LEAST if clients > 1 else passed
    return Measurement(f"{name}, {clients} clients", len(waits), seconds, passed=passed, notes=notes)


def _vouched(settings: Settings) -> str:
    """What the API logs in with at ClickHouse for this service."""
    store = IdentityStore(settings)
    try:
        return vouch(settings, store.get(NAME), Surface.API)
    finally:
        store.close()
