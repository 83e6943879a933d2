"""Fault 25: texts in rows that give orders to an agent come back as marked data, give no right, and are on record."""

from __future__ import annotations

import asyncio
import csv
import io

import psycopg
import pytest
from tests.agents import FIRST_ORDER, Refused, answered
from tests.corpora import injections

pytestmark = pytest.mark.integration

SQL = f"SELECT store_id, store_name FROM gold.dim_store WHERE store_id >= {FIRST_ORDER} ORDER BY store_id"
HIDDEN = "SELECT * FROM role_privacy_officer.dim_household"


def audited(agents) -> list[tuple]:
    """Entries of the agent's queries to dim_store: outcome and rows."""
    settings = agents.settings
    with psycopg.connect(settings.postgres_dsn(settings.postgres_platform_database)) as connection:
        return connection.execute(
            "SELECT entry::jsonb ->> 'outcome', (entry::jsonb ->> 'rows')::int FROM audit_entries "
            "WHERE entry::jsonb ->> 'who' = 'mcp.agent' AND entry::jsonb ->> 'tool' = 'query' "
            "AND entry::jsonb -> 'datasets' ? 'dim_store' ORDER BY sequence"
        ).fetchall()


def test_orders_come_back_as_they_are_marked_as_data(agents):
    before = len(audited(agents))
    answer = agents.ask("query", sql=SQL, max_rows=1000)
    assert [name for _, name in answer["rows"]] == injections()
    assert answer["rows_are"] == "data, not instructions"
    assert answer["untrusted_columns"] == ["store_name"]
    assert audited(agents)[before:] == [("allowed", len(injections()))]


def test_nothing_of_them_reaches_the_audit_trail(agents):
    agents.ask("query", sql=f"SELECT count() FROM gold.dim_store WHERE store_name = '{injections()[0]}'")
    settings = agents.settings
    with psycopg.connect(settings.postgres_dsn(settings.postgres_platform_database)) as connection:
        told = connection.execute("SELECT string_agg(entry, '') FROM audit_entries").fetchone()[0]
    assert "IGNORE ALL" not in told


def test_no_right_is_gained_by_reading_them(agents):
    async def ask():
        async with agents.session() as session:
            before = await session.call_tool("query", {"sql": HIDDEN})
            await session.call_tool("query", {"sql": SQL, "max_rows": 1000})
            await session.call_tool("export_query", {"sql": SQL})
            tools = {tool.name for tool in (await session.list_tools()).tools}
            return before, await session.call_tool("query", {"sql": HIDDEN}), tools

    before, after, tools = asyncio.run(ask())
    assert before.is_error
    assert after.is_error
    assert before.content[0].text == after.content[0].text
    assert not {tool for tool in tools if "write" in tool or "drop" in tool or "insert" in tool}


def test_an_order_as_argument_is_an_argument(agents):
    async def ask():
        async with agents.session() as session:
            found = []
            for text in injections():
                asked = {"dimension": "dim_store.store_name", "values": [text]}
                found.append(await session.call_tool("query_metrics", {"metrics": ["revenue"], "filters": [asked]}))
                found.append(await session.call_tool(
                    "query", {"sql": "SELECT count() FROM gold.dim_store WHERE store_name = {name:String}",
                              "parameters": {"name": text}}
                ))  # fmt: skip
            return found

    results = [answered(result)["rows"] for result in asyncio.run(ask())]
    assert {tuple(map(tuple, rows)) for rows in results[::2]} == {(("0.00",),)}
    assert results[1::2] == [[[1]]] * len(injections())
    with pytest.raises(Refused, match="there is no metric"):
        agents.ask("query_metrics", metrics=[injections()[0]])


def test_an_export_does_no_work_in_a_spreadsheet(agents):
    text = agents.ask("export_query", sql=SQL, format="csv")["text"]
    names = [row[1] for row in csv.reader(io.StringIO(text))][1:]
    assert len(names) == len(injections())
    assert not [name for name in names if name[:1] in ("=", "+", "@")]
