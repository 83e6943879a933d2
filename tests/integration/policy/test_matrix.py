"""Role × dataset × surface: every surface gives the rows and masked values that DuckDB computes from the same rows.

What is expected is read from the YAML files and computed here anew; nothing of headwater.policy is asked.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import yaml
from clickhouse_connect.driver.exceptions import DatabaseError
from fastmcp import Client
from fastmcp.exceptions import ToolError
from tests.integration.policy.conftest import ROWS, STORES, Served

from headwater.mcp.server import build_server
from headwater.mcp.sidecar import Sidecar, Who
from headwater.policy.model import Surface
from headwater.serving.asking import Gate
from headwater.warehouse import state
from headwater.warehouse.client import reader, writer

pytestmark = pytest.mark.integration

SCHEMAS = Path(__file__).parents[3] / "schemas"
POLICY = yaml.safe_load((SCHEMAS / "policies" / "loyalty.yaml").read_text())
CONTRACTS = {
    one["schema"][0]["name"]: one
    for one in map(yaml.safe_load, (p.read_text() for p in (SCHEMAS / "contracts").glob("*/*.yaml")))
    if any(server.get("database") in ("gold", "live") for server in one.get("servers", ()))
}
ROLES = sorted(POLICY["roles"])
SQL = {
    "plain": "{c}",
    None: "NULL",
    "null": "NULL",
    "hash": "left(sha256('{key}' || CAST({c} AS VARCHAR)), 32)",
    "last_four": "CASE WHEN {c} IS NULL THEN NULL WHEN length(CAST({c} AS VARCHAR)) > 4"
    " THEN '****' || right(CAST({c} AS VARCHAR), 4) ELSE '****' END",
    "year_only": "date_trunc('year', {c})",
}


def may_read(role: str, dataset: str) -> bool:
    return role in {one["role"] for one in CONTRACTS[dataset]["roles"]}


def expected(served: Served, role: str, dataset: str) -> list[tuple]:
    names, rows = served.rows[dataset]
    declared = POLICY["roles"][role]
    own = (declared.get("datasets") or {}).get(dataset) or {}
    classified = {p["name"]: p.get("classification") for p in CONTRACTS[dataset]["schema"][0]["properties"]}
    expressions = []
    for name in names:
        if name in own.get("columns", {}):
            mask = own["columns"][name]
        else:
            mask = declared["masks"].get(classified.get(name) or "internal", "plain")
        expressions.append(SQL[mask].format(c=f'"{name}"', key=served.key))
    where = own.get("rows", "TRUE").replace("user.stores", f"({', '.join(map(str, STORES))})")
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})
    with duckdb.connect() as connection:
        connection.register("t", table)
        return plain(connection.execute(f"SELECT {', '.join(expressions)} FROM t WHERE {where}").fetchall())


def plain(rows) -> list[tuple]:
    return sorted((tuple(map(text, row)) for row in rows), key=str)


def text(value: object) -> object:
    if isinstance(value, dt.datetime):
        value = value.replace(tzinfo=None)
    if isinstance(value, dt.date):
        value = value.isoformat()
    if isinstance(value, str):
        value = re.sub(r"(T\d\d:\d\d:\d\d)\.000000Z$", r"\1", value)
        return value.removesuffix("T00:00:00")
    return f"{value:.4f}" if isinstance(value, Decimal) else value


def decimals(rows, types) -> list[tuple]:
    """MCP gives money as text; the types say which texts those are."""
    return [
        tuple(Decimal(v) if v is not None and "Decimal" in t else v for v, t in zip(row, types, strict=True))
        for row in rows
    ]


_SERVERS: dict[str, object] = {}


def ask_mcp(served: Served, role: str, tool: str, **arguments):
    if role not in _SERVERS:
        gate = Gate(served.settings, Surface.MCP)
        known = gate.service() if role == "agent" else gate.authenticator.by_secret(*served.login(role))
        _SERVERS[role] = build_server(Sidecar(served.settings, lambda: Who(known), gate))

    async def call():
        async with Client(_SERVERS[role]) as client:
            return (await client.call_tool(tool, arguments)).structured_content

    return asyncio.run(call())


@pytest.mark.parametrize("dataset", sorted(CONTRACTS))
@pytest.mark.parametrize("role", ROLES)
def test_every_surface_gives_what_the_policy_says(served, role, dataset):
    surfaces = POLICY["roles"][role]["surfaces"]
    source = "gold" if any(s.get("database") == "gold" for s in CONTRACTS[dataset]["servers"]) else "live"
    answers = {}
    if "clickhouse" in surfaces:
        client = served.as_role(role)
        if may_read(role, dataset):
            answers["clickhouse"] = plain(client.query(f"SELECT * FROM {dataset}").result_rows)
        else:
            with pytest.raises(DatabaseError, match="UNKNOWN_TABLE|ACCESS_DENIED"):
                client.query(f"SELECT * FROM {dataset}")
        with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
            client.query(f"SELECT * FROM {source}.{dataset}")
    if "mcp" in surfaces and may_read(role, dataset):
        answer = ask_mcp(served, role, "query", sql=f"SELECT * FROM {source}.{dataset}", max_rows=1000)
        answers["mcp"] = plain(decimals(answer["rows"], answer["types"]))
        assert answer["evidence"]["policy"]["version"] == served.policy.version
    elif "mcp" in surfaces:
        with pytest.raises(ToolError, match="is not a dataset"):
            ask_mcp(served, role, "query", sql=f"SELECT * FROM {source}.{dataset}")
    else:
        with pytest.raises(ToolError, match="denied by policy"):
            ask_mcp(served, role, "query", sql=f"SELECT * FROM {source}.{dataset}")
    assert may_read(role, dataset) or not answers
    for surface, rows in answers.items():
        assert rows == expected(served, role, dataset), surface


def test_the_matrix_has_what_it_is_about(served):
    """Rows are kept back, repeats are collapsed, each mask is used: else the matrix would prove little."""
    sizes = {role: len(expected(served, role, "fct_sales")) for role in ("analyst", "store_manager", "marketer")}
    assert sizes["analyst"] == ROWS
    assert 0 < sizes["store_manager"] < sizes["analyst"]
    assert 0 < sizes["marketer"] < sizes["analyst"]
    with reader() as client:
        assert client.command("SELECT count() FROM live.transactions") == 2 * ROWS
    used = {str(m) for r in served.policy.roles.values() for v in r.views.values() for m in v.masks.values()}
    assert used == {"plain", "hash", "last_four", "year_only", "null"}


def test_hashes_join_across_datasets(served):
    sql = "SELECT count() FROM fct_sales AS s JOIN mart_marketing_rfm AS r ON s.household_id = r.household_id"
    assert served.as_role("analyst").command(sql) == ROWS


def test_rows_that_broke_a_rule_are_not_quoted_past_the_masks(served):
    results = [{"rule": "r", "severity": "warning", "passed": False, "expected": "0", "found": "1, such as secret7"}]
    now = dt.datetime.now(dt.UTC)
    names = ("dim_household", "fct_sales", "dim_date")
    with writer() as client:
        state.show(client, [state.Shown(name, 1, now, now, now, json.dumps(results)) for name in names])
    told = {
        (role, name): ask_mcp(served, role, "describe_dataset", dataset=name)["quality_results"]
        for role, name in [("agent", "dim_household"), ("store_manager", "fct_sales"), ("agent", "dim_date")]
    }
    assert told["agent", "dim_date"] == results
    kept = [{"rule": "r", "severity": "warning", "passed": False, "expected": "0"}]
    assert told["agent", "dim_household"] == told["store_manager", "fct_sales"] == kept


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT gold."x` FROM (SELECT value AS x FROM system.errors) AS role_agent --" FROM gold.fct_sales',
        "SELECT * FROM (WITH dim_household AS (SELECT 1) SELECT * FROM dim_household) AS a, dim_household AS b",
        "SELECT * FROM gold.`fct_sales` LIMIT 1) --`, gold.fct_sales",
    ],
)
def test_what_a_parser_might_misread_is_refused(served, sql):
    with pytest.raises(ToolError, match="WITH may not name|ClickHouse refused|is not a dataset|not SQL"):
        ask_mcp(served, "agent", "query", sql=sql)


def test_an_alias_may_be_named_like_a_database(served):
    sql = "SELECT count(live.quantity) FROM live.transactions AS live"
    assert ask_mcp(served, "agent", "query", sql=sql)["rows"] == [[ROWS]]


def test_a_role_sees_only_its_own_in_mcp(served):
    listed = ask_mcp(served, "store_manager", "list_datasets")["datasets"]
    tables = {one["table"]: one for one in listed}
    assert set(tables) == {view.table for view in served.policy.roles["store_manager"].views.values()}
    assert tables["gold.fct_sales"]["rows"] is None
    assert tables["gold.dim_date"]["rows"] == ROWS
    with pytest.raises(ToolError, match="there is no dataset 'mart_marketing_rfm'"):
        ask_mcp(served, "store_manager", "describe_dataset", dataset="mart_marketing_rfm")
    described = ask_mcp(served, "store_manager", "describe_dataset", dataset="fct_sales")
    shown = {column["name"]: column["shown_as"] for column in described["columns"]}
    assert (shown["household_id"], shown["sales_value"]) == ("null", "plain")
    assert described["evidence"]["policy"]["rows"] == {"gold.fct_sales": "store_id IN user.stores"}
