"""Fault 29: a query for ten million rows, for gigabytes, for an hour: bounded, with a message, and a way to page."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from tests.agents import LINES, Refused

from headwater.policy import applying
from headwater.serving.warehouse import QueryTooLarge, Warehouse
from headwater.warehouse.client import writer

pytestmark = pytest.mark.integration

SQUARE = """
SELECT a.basket_id AS b, a.product_id AS p, b.basket_id AS c, b.product_id AS q
FROM gold.fct_sales AS a, gold.fct_sales AS b"""
CUBE = """
SELECT count() FROM gold.fct_sales AS a, gold.fct_sales AS b, gold.fct_sales AS c
WHERE a.quantity + b.quantity > c.quantity"""


def test_ten_million_rows_come_a_page_at_a_time(agents):
    assert LINES**2 > 10_000_000
    began = time.monotonic()
    first = agents.ask("query", sql=SQUARE, max_rows=1000)
    assert (len(first["rows"]), first["truncated"]) == (1000, True)
    second = agents.ask("query", sql=SQUARE, max_rows=1000, page=first["next_page"])
    assert len(second["rows"]) == 1000
    assert time.monotonic() - began < 20
    ordered = f"SELECT store_id, store_name FROM ({SQUARE}) AS s, gold.dim_store AS d ORDER BY 1"
    with pytest.raises(Refused, match="max_rows|less than or equal"):
        agents.ask("query", sql=ordered, max_rows=10_000_000)


def test_the_endpoint_bounds_rows_and_bytes_without_the_sidecar(agents):
    settings = agents.settings
    password = settings.clickhouse_agent_password.get_secret_value()
    login = {"X-ClickHouse-User": settings.clickhouse_agent_user, "X-ClickHouse-Key": password}
    warehouse = Warehouse(settings)
    try:
        for sql in ("SELECT number FROM numbers(10000000)", "SELECT repeat('x', 10000) FROM numbers(9000)"):
            with pytest.raises(QueryTooLarge, match="larger than the role may have"):
                warehouse.ask(login, sql)
        with pytest.raises(QueryTooLarge, match="longer than the role may ask"):
            warehouse.ask(login, "SELECT count() FROM numbers(1e13) WHERE sipHash64(number) = 1", None,
                          {"max_execution_time": "1"})  # fmt: skip
    finally:
        warehouse.close()


def test_bytes_are_bounded_with_a_message(agents):
    with pytest.raises(Refused, match="larger than the role may have.*next_page"):
        agents.ask("query", sql="SELECT repeat('x', 100000) FROM gold.fct_sales", max_rows=1000)


def test_an_export_is_bounded(agents):
    answer = agents.ask("export_query", sql=SQUARE, max_rows=10_000)
    assert answer["truncated"]
    assert len(answer["text"]) <= 1_000_000


def test_a_query_for_an_hour_ends_in_time_with_a_message(agents):
    """The agent's 30 seconds are made one: what ends it is the role's own bound on the server."""
    roles = dict(agents.policy.roles)
    limits = replace(roles["agent"].limits, seconds=1)
    short = replace(
        agents.policy, version="of a second", roles={**roles, "agent": replace(roles["agent"], limits=limits)}
    )
    try:
        _apply(agents, short)
        _until_in_force(agents, "of a second")
        began = time.monotonic()
        with pytest.raises(Refused, match="longer than the role may ask.*aggregate, filter"):
            agents.ask("query", sql=CUBE)
        assert time.monotonic() - began < 15
    finally:
        _apply(agents, agents.policy)
        _until_in_force(agents, agents.policy.version)
    assert agents.ask("query", sql="SELECT 1 AS one")["rows"] == [[1]]


def _apply(agents, policy) -> None:
    with writer() as client:
        applying.apply(client, policy, agents.contracts, embedded=True)


def _until_in_force(agents, version: str) -> None:
    """The endpoint and the sidecar take up a policy within a second."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        sql = "SELECT count() FROM gold.dim_store"
        if agents.ask("query", sql=sql)["evidence"]["policy"]["version"] == version:
            time.sleep(1.1)  # the endpoint believes a login for a second
            return
    raise AssertionError(f"policy {version} is not in force")
