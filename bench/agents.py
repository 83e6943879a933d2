"""MCP tool calls on the gold marts, from 1, 10 and 100 agents at once, beside the same queries asked of ClickHouse.

Both as the same role over the same views: the tool's SQL names `gold.…`, the bare one the role's database. An agent
asks one question after another, without a pause; and, since no agent does that, once a second each. Needs the demo's
data and a running sidecar.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial

import uvloop

from bench.clients import Connection, basic, key_of, latencies, percentiles
from bench.measure import Measurement
from bench.queries import QUERIES
from bench.topics import Context
from headwater.contracts.loader import load_contracts
from headwater.policy.loader import load_policy
from headwater.serving.queries import in_role, judge
from headwater.settings import LOOPBACK, get_settings

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
    login = basic(settings.clickhouse_agent_user, settings.clickhouse_agent_password.get_secret_value())
    headers = (
        f"Authorization: Bearer {key_of(settings, WHO, 'agents', 'mcp:*')}",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
    )
    connections: dict[str, tuple[Callable[[], Connection], list[str]]] = {
        "bare": (partial(Connection, settings.clickhouse_host, settings.clickhouse_port, "/", login), bare),
        "tool": (partial(_Tool, LOOPBACK, settings.mcp_port, "/mcp", *headers), list(QUERIES)),
    }
    uvloop.run(latencies(*connections["tool"], 2, 1.0))
    found = []
    for agents in AGENTS:
        medians: dict[str, float] = {}
        for what, (connection, queries) in connections.items():
            found.append(_measure(what, connection, queries, agents, medians))
    found.append(_measure("tool", *connections["tool"], max(AGENTS), {}, every=1.0))
    return found


def _measure(
    what: str,
    connection: Callable[[], Connection],
    queries: list[str],
    agents: int,
    medians: dict[str, float],
    every: float = 0.0,
) -> Measurement:
    begun, cpu = time.perf_counter(), time.process_time()
    waits = uvloop.run(latencies(connection, queries, agents, SECONDS, every))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    notes = percentiles(waits)
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


class _Tool(Connection):
    """The sidecar's tool `query`."""

    async def ask(self, query: str) -> bytes:
        """The answer; `RuntimeError` where the tool refused."""
        call = {"name": "query", "arguments": {"sql": query, "max_rows": 1000}}
        told = await self.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode())
        answer = json.loads(told)
        if "result" not in answer or answer["result"].get("isError"):
            raise RuntimeError(told[:500].decode())
        return told
