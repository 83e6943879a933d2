"""MCP tool calls on the gold marts, from 1, 10 and 100 agents at once, beside the same queries asked of ClickHouse.

Both as the same role over the same views: the tool's SQL names `gold.…`, the bare one the role's database. An agent
asks one question after another, without a pause; and, since no agent does that, once a second each. Needs the demo's
data and a running sidecar.
"""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Self

import uvloop

from bench.measure import Measurement
from bench.queries import QUERIES, _Connection
from bench.topics import Context
from headwater.contracts.loader import load_contracts
from headwater.identity.keys import IdentityKeys
from headwater.identity.store import IdentityStore, UnknownIdentity
from headwater.policy.loader import load_policy
from headwater.serving.queries import in_role, judge
from headwater.settings import Settings, get_settings

AGENTS = (1, 10, 100)
SECONDS = 8.0
WHO = "bench.agent"
OVERHEAD_AT_MOST_MS = 15.0
P99_AT_MOST_MS = 150.0


def measure_mcp(context: Context) -> list[Measurement]:
    """Two lines per number of agents, bare and by tool, and one at a call a second; a row is a call."""
    settings = get_settings()
    role = load_policy(contracts=load_contracts()).roles["agent"]
    bare = [in_role(sql, role.database, judge(sql, role.views).tables) for sql in QUERIES]
    key = _key(settings)
    connections: dict[str, tuple[Callable[[], _Connection], list[str]]] = {
        "bare": (partial(_Bare, settings), bare),
        "tool": (partial(_Tool, settings, key), list(QUERIES)),
    }
    uvloop.run(_latencies(*connections["tool"], 2, 1.0))
    found = []
    for agents in AGENTS:
        medians: dict[str, float] = {}
        for what, (connection, queries) in connections.items():
            found.append(_measure(what, connection, queries, agents, medians))
    found.append(_measure("tool", *connections["tool"], max(AGENTS), {}, every=1.0))
    return found


def _measure(
    what: str,
    connection: Callable[[], _Connection],
    queries: list[str],
    agents: int,
    medians: dict[str, float],
    every: float = 0.0,
) -> Measurement:
    begun, cpu = time.perf_counter(), time.process_time()
    waits = uvloop.run(_latencies(connection, queries, agents, SECONDS, every))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    cuts = statistics.quantiles(waits, n=100)
    notes = {f"p{p}_ms": round(cuts[p - 1] * 1000, 1) for p in (50, 95, 99)}
    notes["clients_cpu_ms_per_call"] = round(cpu / len(waits) * 1000, 2)
    medians[what] = notes["p50_ms"]
    passed = None
    if what == "tool" and not every:
        notes["overhead_p50_ms"] = round(medians["tool"] - medians["bare"], 1)
        if agents == 1:
            passed = notes["overhead_p50_ms"] < OVERHEAD_AT_MOST_MS
    if what == "tool" and agents == max(AGENTS):
        passed = notes["p99_ms"] < P99_AT_MOST_MS
    said = {"bare": "query as the agent's role", "tool": "MCP tool query"}[what]
    pause = ", one call a second each" if every else ""
    return Measurement(f"{said}, {agents} agents{pause}", len(waits), seconds, passed=passed, notes=notes)


async def _latencies(
    connection: Callable[[], _Connection], queries: list[str], agents: int, seconds: float, every: float = 0.0
) -> list[float]:
    """Seconds of every call. With `every` a call is due so often, and the agents begin spread over that time."""
    barrier = asyncio.Barrier(agents)

    async def agent(number: int) -> list[float]:
        found: list[float] = []
        async with connection() as asked:
            await asked.ask("SELECT 1 AS one")
            await barrier.wait()
            due = time.perf_counter() + every * number / agents
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                begun = time.perf_counter()
                await asked.ask(queries[(number + len(found)) % len(queries)])
                found.append(time.perf_counter() - begun)
                due = max(due + every, time.perf_counter()) if every else begun
        return found

    return [wait for found in await asyncio.gather(*map(agent, range(agents))) for wait in found]


class _Bare(_Connection):
    """ClickHouse, asked as the settings' agent."""

    def __init__(self, settings: Settings) -> None:
        self._place = (settings.clickhouse_host, settings.clickhouse_port)
        password = settings.clickhouse_agent_password.get_secret_value()
        self._login = base64.b64encode(f"{settings.clickhouse_agent_user}:{password}".encode()).decode()
        self._path, self._more = "/", f"Authorization: Basic {self._login}\r\n"

    async def __aenter__(self) -> Self:
        self._transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, *self._place)
        self._head = (
            f"POST {self._path} HTTP/1.1\r\nHost: {self._place[0]}:{self._place[1]}\r\n{self._more}Content-Length: "
        )
        return self


class _Tool(_Bare):
    """The sidecar's tool `query`."""

    def __init__(self, settings: Settings, key: str) -> None:
        self._place = ("127.0.0.1", settings.mcp_port)
        self._path = "/mcp"
        self._more = (
            f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
            "Accept: application/json, text/event-stream\r\n"
        )

    async def ask(self, query: str) -> bytes:
        call = {"name": "query", "arguments": {"sql": query, "max_rows": 1000}}
        told = await self.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode())
        answer = json.loads(told)
        if "result" not in answer or answer["result"].get("isError"):
            raise RuntimeError(told[:500].decode())
        return told


def _key(settings: Settings) -> str:
    """A key of an identity of the benchmark's own."""
    store = IdentityStore(settings)
    keys = IdentityKeys(settings, store)
    try:
        try:
            store.get(WHO)
        except UnknownIdentity:
            store.add(WHO, "service", ["agents"], {}, None)
        return keys.create(WHO, "bench", ["mcp:*"], 1)[0]
    finally:
        keys.close()
        store.close()
