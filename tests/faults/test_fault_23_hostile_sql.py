"""Fault 23: several statements, hidden in comments, DDL, DML, SETTINGS, tricks with WITH; refused by each layer alone.

The parser alone is asked in tests/unit/serving/test_corpora.py. Here the endpoint is asked as the agent's role with
no parser before it, and the sidecar with both.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.corpora import Statement, statements

from headwater.contracts.loader import load_contracts
from headwater.serving.queries import QueryRefused, judge
from headwater.serving.warehouse import QueryFailed, Warehouse
from headwater.warehouse.client import writer

pytestmark = pytest.mark.integration

OUTWARD = ("table functions", "cluster", "functions that reach", "into files", "server's own", "other places")
CORPUS = [
    s
    for s in statements("hostile_sql", url="http://127.0.0.1:9", port="9", role="role_analyst")
    if not any(word in s.group for word in OUTWARD)
]


DATASETS = frozenset(load_contracts().datasets)
REFUSALS = {
    46: "UNKNOWN_FUNCTION",
    164: "READONLY",
    358: "INTO_OUTFILE_NOT_ALLOWED",
    452: "SETTING_CONSTRAINT_VIOLATION",
    497: "ACCESS_DENIED",
    701: "CLUSTER_DOESNT_EXIST",
}
"""Any other error, of syntax above all, would show nothing of what the endpoint lets a statement do."""
SEVERAL = "Multi-statements are not allowed"


@pytest.fixture(scope="module")
def warehouse(agents):
    found = Warehouse(agents.settings)
    yield found
    found.close()


@pytest.fixture(scope="module")
def login(agents):
    settings = agents.settings
    password = settings.clickhouse_agent_password.get_secret_value()
    return {"X-ClickHouse-User": settings.clickhouse_agent_user, "X-ClickHouse-Key": password}


def state() -> list[tuple]:
    """All that a statement could have changed: tables, views, their definitions and rows; users, databases."""
    with writer() as client:
        return [
            *client.query(
                "SELECT database, name, engine, total_rows, cityHash64(create_table_query) FROM system.tables "
                "WHERE database NOT IN ('system', 'platform') AND database NOT ILIKE 'information_schema' ORDER BY ALL"
            ).result_rows,
            *client.query("SELECT 'database', name FROM system.databases ORDER BY name").result_rows,
            *client.query("SELECT 'dictionary', name FROM system.dictionaries ORDER BY name").result_rows,
            *client.query(
                "SELECT 'function', name FROM system.functions WHERE origin != 'System' ORDER BY 2"
            ).result_rows,
        ]


def told(warehouse: Warehouse, login: dict[str, str], statement: Statement) -> str:
    """What the endpoint gives for it: '' where it is refused, or fails or is harmless as the corpus says."""
    try:
        result = warehouse.ask(login, statement.sql, statement.given.get("parameters"))
    except QueryFailed as error:
        refused = error.code in (*REFUSALS, statement.given.get("code")) or SEVERAL in str(error)
        return "" if refused else f"{statement.sql}: {error.code} {error}"
    harmless = statement.engine == "empty" and all(value in (0, None, "", []) for row in result.rows for value in row)
    if statement.engine == "own":
        own = warehouse.ask(login, statement.given["own"])
        harmless = sorted(map(str, own.rows)) == sorted(map(str, result.rows))
    return "" if harmless else f"{statement.sql}: {result.rows[:3]}"


def test_the_endpoint_refuses_without_a_parser(agents, warehouse, login):
    before = state()
    wrong = [said for statement in CORPUS if (said := told(warehouse, login, statement))]
    assert not wrong, "\n".join(wrong)
    assert state() == before
    assert warehouse.ask(login, "SELECT count() FROM dim_store").rows[0][0] > 0


def test_the_sidecar_refuses_and_goes_on(agents):
    async def ask():
        async with agents.session() as session:
            asked = [{"sql": s.sql, "parameters": s.given.get("parameters", {})} for s in CORPUS]
            refused = [await session.call_tool("query", one) for one in asked]
            return refused, await session.call_tool("query", {"sql": "SELECT 1 AS one"})

    refused, after = asyncio.run(ask())
    assert [s.sql for s, result in zip(CORPUS, refused, strict=True) if not result.is_error] == []
    assert after.structured_content["rows"] == [[1]]


def test_the_parser_refuses_without_an_endpoint():
    for statement in CORPUS:
        with pytest.raises(QueryRefused):
            judge(statement.sql, DATASETS)


def test_the_endpoint_lets_pass_what_is_asked_rightly(warehouse, login):
    """Else the refusals above could be anything: the same login, and a query that it may ask."""
    assert warehouse.ask(login, "SELECT 1 AS one").rows == [[1]]
