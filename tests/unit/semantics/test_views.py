"""Metrics as views: they read the role's views as whoever asks, and hold each figure by one dimension at a time."""

from __future__ import annotations

import os
from pathlib import Path

import chdb
import pytest

from headwater.contracts.loader import load_contracts
from headwater.policy.loader import load_policy
from headwater.semantics.views import metric_views

GOLDEN = Path(__file__).parent / "golden"
CONTRACTS = load_contracts()
POLICY = load_policy(contracts=CONTRACTS)
VIEWS = {(view.role, view.name): view for view in metric_views(POLICY, CONTRACTS)}


def test_the_sql_is_as_it_was():
    path, text = (
        GOLDEN / "view_average_basket_value.sql",
        VIEWS["store_manager", "metric_average_basket_value"].statement("d"),
    )
    if os.environ.get("HEADWATER_TEST_REWRITE"):
        path.write_text(text)
    assert path.read_text() == text


def test_a_role_has_views_of_the_metrics_that_it_may_ask_and_reads_nothing_else():
    assert ("store_manager", "metric_buying_households") not in VIEWS
    assert not [role for role, _ in VIEWS if role == "agent"]  # it does not ask ClickHouse itself
    for view in VIEWS.values():
        text = view.statement("d")
        assert "SQL SECURITY INVOKER" in text
        assert "gold." not in text.partition("\nAS\n")[2]


@pytest.fixture(scope="module")
def engine():
    connection = chdb.connect(":memory:")
    connection.query("CREATE DATABASE role_store_manager")
    connection.query(
        "CREATE TABLE role_store_manager.fct_sales (basket_id Nullable(Int64), store_id Int64, sale_date Date32, "
        "week Int32, sales_value Decimal(10, 2), store_key Int64, product_key String, date_key Int32) ENGINE = Memory"
    )
    for table, columns in {
        "dim_store": "store_key Int64, store_name String",
        "dim_product": "product_key String, department String, brand String, product_category String",
        "dim_date": "date_key Int32, day_name String",
    }.items():
        connection.query(f"CREATE TABLE role_store_manager.{table} ({columns}) ENGINE = Memory")
    connection.query(
        "INSERT INTO role_store_manager.fct_sales VALUES (1, 7, '2017-01-02', 1, 1.00, 7, 'p', 2), "
        "(1, 7, '2017-01-02', 1, 2.00, 7, 'p', 2), (2, 8, '2017-01-05', 1, 4.00, 8, 'p', 5), "
        "(3, 8, '2017-02-05', 6, 8.00, 8, 'p', 5), (NULL, 8, '2017-03-05', 10, 8.00, 8, 'p', 5)"
    )
    connection.query(VIEWS["store_manager", "metric_average_basket_value"].statement("default"))
    yield connection
    connection.close()


@pytest.mark.parametrize(("dimension", "expected"), [
    ("all", [("2017-01-01", "", "3.50"), ("2017-02-01", "", "8.00"), ("2017-03-01", "", "\\N")]),
    ("store_id", [("2017-01-01", "7", "3.00"), ("2017-01-01", "8", "4.00"), ("2017-02-01", "8", "8.00"),
                  ("2017-03-01", "8", "\\N")]),
])  # fmt: skip
def test_a_ratio_is_right_for_each_month_and_member_and_null_where_it_divides_by_nothing(engine, dimension, expected):
    sql = (
        "SELECT toString(period), member, toDecimalString(average_basket_value, 2) "
        f"FROM role_store_manager.metric_average_basket_value WHERE dimension = '{dimension}' ORDER BY 1, 2"
    )
    rows = [tuple(line.split("\t")) for line in str(engine.query(sql, "TabSeparated")).splitlines()]
    assert rows == expected


def test_the_columns_are_named_for_people(engine):
    sql = "SELECT name, comment FROM system.columns WHERE table = 'metric_average_basket_value' ORDER BY position"
    told = dict(line.split("\t") for line in str(engine.query(sql, "TabSeparated")).splitlines())
    assert told["average_basket_value"] == "Average basket, USD: Revenue per basket"
