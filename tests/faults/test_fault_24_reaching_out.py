"""Fault 24: table functions, their cluster variants, dictionaries, files, system tables: refused, and nobody is called.

A socket listens where the statements point to, and must see no connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.corpora import statements
from tests.faults.test_fault_23_hostile_sql import OUTWARD, told

from headwater.serving.warehouse import Warehouse

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        server.setblocking(False)
        yield server


@pytest.fixture(scope="module")
def corpus(listening):
    port = str(listening.getsockname()[1])
    found = statements("hostile_sql", url=f"http://127.0.0.1:{port}", port=port, role="role_analyst")
    return [s for s in found if any(word in s.group for word in (*OUTWARD, "definition", "change of data"))]


@pytest.fixture(scope="module")
def login(agents):
    settings = agents.settings
    password = settings.clickhouse_agent_password.get_secret_value()
    return {"X-ClickHouse-User": settings.clickhouse_agent_user, "X-ClickHouse-Key": password}


def nobody_called(listening: socket.socket) -> bool:
    try:
        listening.accept()
    except BlockingIOError:
        return True
    return False


def test_the_endpoint_refuses_without_a_parser_and_calls_nobody(agents, corpus, login, listening):
    warehouse = Warehouse(agents.settings)
    try:
        wrong = [said for statement in corpus if (said := told(warehouse, login, statement))]
    finally:
        warehouse.close()
    assert not wrong, "\n".join(wrong)
    assert nobody_called(listening)
    assert not list(Path("/tmp").glob("stolen*"))
    assert not list(agents.settings.home.rglob("stolen*"))


def test_the_sidecar_refuses_and_calls_nobody(agents, corpus, listening):
    async def ask():
        async with agents.session() as session:
            return [await session.call_tool("query", {"sql": statement.sql}) for statement in corpus]

    results = asyncio.run(ask())
    assert [s.sql for s, result in zip(corpus, results, strict=True) if not result.is_error] == []
    assert nobody_called(listening)


def test_the_socket_would_have_seen_a_call(listening):
    """Else silence would prove nothing."""
    with socket.create_connection(listening.getsockname(), timeout=5):
        connection, _ = listening.accept()
        connection.close()
