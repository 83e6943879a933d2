"""Every question of the analytical corpus is answered; where DuckDB has it in its words, with the same rows."""

from __future__ import annotations

import asyncio
import datetime as dt
from decimal import Decimal

import duckdb
import pytest
from tests.agents import answered
from tests.corpora import Statement, statements

pytestmark = pytest.mark.integration

CORPUS = statements("analytical_sql")


@pytest.fixture(scope="module")
def answers(agents):
    """Each question's answer, or what was said instead: one session asks them all."""

    async def ask():
        async with agents.session() as session:
            return {s.sql: await session.call_tool("query", _arguments(s)) for s in CORPUS}

    return asyncio.run(ask())


def _arguments(statement: Statement) -> dict:
    return {"sql": statement.sql, "max_rows": 1000, "parameters": statement.given.get("parameters")}


@pytest.fixture(scope="module")
def db(agents):
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, rows in agents.rows.items():
            connection.register(name, rows)
        yield connection


@pytest.mark.parametrize("group", sorted({s.group for s in CORPUS}))
def test_the_questions_are_answered(answers, db, group):
    wrong = {}
    for statement in (s for s in CORPUS if s.group == group):
        result = answers[statement.sql]
        if result.is_error:
            wrong[statement.sql] = result.content[0].text
            continue
        rows = answered(result)["rows"]
        if "duckdb" in statement.given:
            expected = db.execute(statement.given["duckdb"]).fetchall()
            if [tuple(map(plain, row)) for row in rows] != [tuple(map(plain, row)) for row in expected]:
                wrong[statement.sql] = f"{rows[:3]}, expected {expected[:3]}"
        elif rows != statement.given.get("rows", rows):
            wrong[statement.sql] = f"{rows}"
    assert not wrong, "\n".join(f"{sql}\n    {said}" for sql, said in wrong.items())


def plain(value: object) -> object:
    if isinstance(value, Decimal) or (isinstance(value, str) and value.replace(".", "", 1).isdigit()):
        return Decimal(value)
    return value.isoformat() if isinstance(value, dt.date) else value
