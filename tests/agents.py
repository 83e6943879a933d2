"""The sidecar as agents meet it: real gold tables of a small part of the demo's data, the policy, keys, a process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pyarrow as pa
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from tests.corpora import injections
from tests.truth.expected import Truth
from tests.truth.source import Part

from headwater.contracts.clickhouse import create_table_sql
from headwater.contracts.loader import load_contracts, load_dataset
from headwater.contracts.model import Contracts
from headwater.embedded.health import http_body
from headwater.identity.keys import IdentityKeys
from headwater.identity.store import IdentityStore
from headwater.policy import applying
from headwater.policy.loader import load_policy
from headwater.policy.model import Policy
from headwater.settings import Settings
from headwater.warehouse import state
from headwater.warehouse.client import writer

LINES = 3_300
"""Lines of baskets; their square is more than ten million."""
SNAPSHOT = 9_007_199_254_740_993  # one more than a JSON number holds exactly
RESULTS = [
    {"rule": "store_id_unique", "severity": "error", "passed": True, "expected": "0", "found": "0"},
    {"rule": "few_stores", "severity": "warning", "passed": False, "expected": "at most 2", "found": "3"},
]
TABLES = (
    "dim_date", "dim_store", "dim_product", "dim_household", "dim_campaign", "fct_sales", "mart_finance_daily_revenue",
    "mart_finance_discounts", "mart_finance_coupon_cost", "mart_marketing_rfm", "mart_marketing_campaign_response",
    "mart_marketing_coupon_response", "mart_operations_store_hours", "mart_operations_basket_size",
    "mart_operations_product_performance", "mart_operations_promotion_effect",
)  # fmt: skip
NOT_ON_RECORD = ("dim_campaign", "mart_marketing_coupon_response")
FIRST_ORDER = 9_000_001
"""Number of the store whose name is the first text that gives orders."""
STORES = [367, 406]


@dataclass
class Agents:
    """What runs. `rows` are the tables' rows; `keys` an API key by role; `url` the sidecar's."""

    settings: Settings
    contracts: Contracts
    policy: Policy
    rows: dict[str, pa.Table]
    url: str = ""
    keys: dict[str, str] = field(default_factory=dict)

    def ask(self, tool: str, *, role: str = "agent", server: str = "", **arguments: Any) -> dict[str, Any]:
        """One tool's structured answer, by the protocol's own client. Raises `Refused` for an error."""
        return asyncio.run(self._ask(tool, role, server, arguments))

    async def _ask(self, tool: str, role: str, server: str, arguments: dict[str, Any]) -> dict[str, Any]:
        async with self.session(role, server) as session:
            result = await session.call_tool(tool, arguments)
        return answered(result)

    @asynccontextmanager
    async def session(self, role: str = "agent", server: str = ""):
        url = self.url.replace("/mcp", f"/{server}/mcp") if server else self.url
        headers = {"authorization": f"Bearer {self.keys[role]}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            streamable_http_client(url, http_client=http) as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            yield session

    @asynccontextmanager
    async def stdio(self, *arguments: str):
        command = ["-m", "headwater.mcp", "--transport", "stdio", *arguments]
        server = StdioServerParameters(command=sys.executable, args=command, env=os.environ.copy())
        async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            yield session


class Refused(Exception):
    """A tool said no."""


def answered(result: Any) -> dict[str, Any]:
    if result.is_error:
        raise Refused(result.content[0].text)
    return result.structured_content


def agents(settings: Settings) -> Iterator[Agents]:
    """Fill gold, apply the policy, make keys, start the sidecar; afterwards the tables and the process are gone."""
    contracts = load_contracts()
    made = Agents(settings, contracts, load_policy(contracts=contracts), _rows())
    with writer() as client:
        client.command("CREATE DATABASE IF NOT EXISTS gold")
        client.command("CREATE DATABASE IF NOT EXISTS live")
        for name, rows in made.rows.items():
            client.command(f"DROP TABLE IF EXISTS gold.{name}")
            client.command(create_table_sql(load_dataset(name)))
            client.insert_arrow(f"gold.{name}", rows)
        state.ensure_state(client)
        now = datetime.now(UTC)
        shown = [
            state.Shown(name, SNAPSHOT, now - timedelta(days=2), now, now, json.dumps(RESULTS))
            for name in TABLES
            if name not in NOT_ON_RECORD
        ]
        state.show(client, shown)
        applying.apply(client, made.policy, contracts, embedded=True)
    made.keys = _keys(settings)
    made.url = f"http://127.0.0.1:{settings.mcp_port}/mcp"
    process = subprocess.Popen([sys.executable, "-m", "headwater.mcp"], env=os.environ.copy())
    try:
        while http_body(made.url.replace("/mcp", "/health")) is None:
            assert process.poll() is None, "the sidecar ended"
        yield made
    finally:
        process.terminate()
        process.wait(timeout=20)
        with writer() as client:
            for name in made.rows:
                client.command(f"DROP TABLE IF EXISTS gold.{name} SYNC")


def _rows() -> dict[str, pa.Table]:
    """The truth's rows; and stores that have orders to agents for names."""
    truth = Truth(Part(transactions=f"file_row_number < {LINES}", promotions="week <= 1"))
    rows = {name: truth.expected(name) for name in TABLES}
    numbers = list(range(FIRST_ORDER, FIRST_ORDER + len(injections())))
    columns = {"store_key": numbers, "store_id": numbers, "store_name": injections()}
    stores = rows["dim_store"]
    orders = pa.table({name: pa.array(columns[name], stores.schema.field(name).type) for name in stores.column_names})
    rows["dim_store"] = pa.concat_tables([stores, orders])
    return rows


def _keys(settings: Settings) -> dict[str, str]:
    store = IdentityStore(settings)
    keys = IdentityKeys(settings, store)
    groups = {"agent": "agents", "analyst": "analysts", "store_manager": "store_managers", "marketer": "marketing"}
    known, made = {identity.name for identity in store.all()}, {}
    for role, group in groups.items():
        name = f"mcp.{role}"
        if name not in known:
            store.add(name, "service", [group], {"stores": STORES} if role == "store_manager" else {}, None)
        made[role] = keys.create(name, "of a test", ["mcp:*"], 1)[0]
    made["narrow"] = keys.create("mcp.agent", "lists only", ["mcp:list_datasets"], 1)[0]
    keys.close()
    store.close()
    return made
