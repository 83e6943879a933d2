"""Columns are followed through the models' SQL, and it agrees with what the contracts say by hand."""

from __future__ import annotations

import pytest

from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Kind
from headwater.errors import TerminalError
from headwater.lineage.columns import column_sources
from headwater.lineage.graph import Lineage
from headwater.settings import get_settings

CONTRACTS = load_contracts()


@pytest.fixture(scope="module")
def by_sql():
    return column_sources(CONTRACTS, get_settings().gold_models_dir)


@pytest.fixture(scope="module")
def lineage():
    return Lineage(CONTRACTS, get_settings().gold_models_dir)


def test_a_sum_of_columns_comes_from_each_of_them(by_sql):
    found = by_sql["mart_finance_daily_revenue", "list_value"]
    assert found == {("fct_sales", name) for name in ("sales_value", "retail_disc", "coupon_match_disc")}


def test_a_column_is_followed_through_joins_and_names(by_sql):
    assert by_sql["fct_sales", "sale_date"] == {("transactions", "transaction_date")}
    assert by_sql["mart_finance_discounts", "department"] == {("dim_product", "department")}


def test_a_constant_comes_from_nowhere(by_sql):
    assert by_sql["dim_date", "year"] == frozenset()


def test_the_sql_finds_most_of_what_the_contracts_say(by_sql):
    """What it does not find are counts of rows, and keys of versions, which silver makes."""
    missed = set()
    for model in CONTRACTS.of_kind(Kind.MODEL):
        for column in model.columns:
            declared = {tuple(source.split(".")) for source in column.sources if "." in source}
            found = by_sql[model.name, column.name]
            if found and declared - found:
                missed.add(f"{model.name}.{column.name}")
    assert missed == {
        "dim_household.household_key",
        "dim_product.product_key",
        "mart_marketing_campaign_response.households_buying",
        "mart_marketing_coupon_response.products_covered",
    }


def test_upstream_and_downstream_are_each_others_reverse(lineage):
    up = {step.dataset: step for step in lineage.upstream("mart_finance_daily_revenue")}
    assert (up["fct_sales"].distance, up["transactions"].distance) == (1, 2)
    assert up["transactions"].through == "fct_sales"
    for name in up:
        assert "mart_finance_daily_revenue" in {step.dataset for step in lineage.downstream(name)}
    assert lineage.upstream("dim_date") == ()


def test_a_column_is_traced_to_its_source_and_to_all_that_comes_of_it(lineage):
    edges = lineage.column_upstream("mart_finance_daily_revenue", "average_basket_value")
    assert ("transactions.sales_value", "fct_sales.sales_value") in edges
    down = {to for _, to in lineage.column_downstream("transactions", "retail_disc")}
    assert {"fct_sales.retail_disc", "mart_finance_discounts.total_disc"} <= down
    with pytest.raises(TerminalError, match="there is no column 'nothing'"):
        lineage.column_upstream("fct_sales", "nothing")


def test_the_impact_of_a_column_names_the_metrics_that_rest_on_it(lineage):
    impact = lineage.impact("dim_product", "department")
    assert "revenue" in impact.metrics  # by department
    assert "households_in_segment" not in impact.metrics
    assert "mart_finance_discounts.department" in impact.columns
    whole = lineage.impact("transactions")
    assert "fct_sales" in whole.datasets
    assert "revenue" in whole.metrics
