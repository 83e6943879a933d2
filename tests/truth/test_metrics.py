"""Every metric of the demo gives what DuckDB computes from the source's files, in another way, to the cent."""

from __future__ import annotations

from decimal import Decimal

import chdb
import pytest
from tests.truth.expected import Truth
from tests.truth.source import Part

from headwater.contracts.loader import load_contracts
from headwater.semantics.catalogue import metrics_of
from headwater.semantics.compiling import compile_question
from headwater.semantics.question import Filter, Grain, Operator, Question

CONTRACTS = load_contracts()
PRODUCT = "LEFT JOIN product_version p ON p.product_id = line.product_id AND p.is_current"
CASES: dict[str, tuple[Question, str]] = {
    "revenue by department": (
        Question(("revenue",), ("dim_product.department",)),
        f"SELECT ifnull(department, 'Unknown'), sum(sv) / 100 FROM line {PRODUCT} GROUP BY 1 ORDER BY 1",
    ),
    "list value by month": (
        Question(("list_value",), grain=Grain.MONTH),
        "SELECT date_trunc('month', ts)::DATE, sum(sv + rd + cm) / 100 FROM line GROUP BY 1 ORDER BY 1",
    ),
    "loyalty discount by day of the week": (
        Question(("loyalty_discount",), ("dim_date.day_name",)),
        "SELECT dayname(ts), sum(rd) / 100 FROM line GROUP BY 1 ORDER BY 1",
    ),
    "share of the loyalty discount by week": (
        Question(("loyalty_discount_share",), grain=Grain.WEEK),
        "SELECT date_trunc('week', ts)::DATE, half_up(10000 * sum(rd), sum(sv + rd + cm)) / 100 FROM line GROUP BY 1"
        " ORDER BY 1",
    ),
    "baskets of two stores": (
        Question(("baskets",), ("store_id",), (Filter("store_id", Operator.IN, (367, 406)),)),
        "SELECT store_id, count(DISTINCT basket_id) FROM line WHERE store_id = 367 OR store_id = 406 GROUP BY 1"
        " ORDER BY 1",
    ),
    "buying households by brand": (
        Question(("buying_households",), ("dim_product.brand",)),
        f"SELECT ifnull(brand, 'Unknown'), count(DISTINCT household_id) FROM line {PRODUCT} GROUP BY 1 ORDER BY 1",
    ),
    "average basket by store, the highest first": (
        Question(("average_basket_value",), ("dim_store.store_name",), order=("-average_basket_value",), limit=5),
        "SELECT 'Store ' || store_id AS store, half_up(sum(sv), count(DISTINCT basket_id)) / 100 AS average FROM line"
        " GROUP BY 1 ORDER BY average DESC, store LIMIT 5",
    ),
    "cost of coupons by department in a week": (
        Question(
            ("coupon_cost", "coupon_match_cost"),
            ("department",),
            (
                Filter("period", Operator.AT_LEAST, ("2017-01-02",)),
                Filter("period", Operator.LESS, ("2017-01-09",)),
            ),
        ),
        f"SELECT ifnull(department, 'Unknown'), sum(cd + cm) / 100, sum(cm) / 100 FROM line {PRODUCT} WHERE day"
        " BETWEEN '2017-01-02' AND '2017-01-08' AND cd + cm > 0 GROUP BY 1 ORDER BY 1",
    ),
    "response by type of campaign": (
        Question(("targeted_households", "redeeming_households", "campaign_response"), ("campaign_type",)),
        "WITH r AS (SELECT campaign_id, count(DISTINCT household_id) AS n FROM redemption GROUP BY 1),"
        " s AS (SELECT campaign_id, count(*) AS n FROM target GROUP BY 1)"
        " SELECT campaign_type, sum(s.n), sum(ifnull(r.n, 0)), half_up(10000 * sum(ifnull(r.n, 0)), sum(s.n)) / 100"
        " FROM campaign LEFT JOIN r USING (campaign_id) LEFT JOIN s USING (campaign_id) GROUP BY 1 ORDER BY 1",
    ),
    "households in segments": (
        Question(("households_in_segment",)),
        "SELECT count(DISTINCT household_id) FROM line",
    ),
    "sales by week and promotion": (
        Question(("sales_by_promotion", "product_store_weeks", "sales_per_product_store_week"), ("week",)),
        "SELECT week, sum(sv) / 100, count(DISTINCT (product_id, store_id)),"
        " half_up(sum(sv), count(DISTINCT (product_id, store_id))) / 100 FROM line GROUP BY 1 ORDER BY 1",
    ),
}


@pytest.fixture(scope="module")
def truth():
    return Truth(Part(transactions="file_row_number < 12000", promotions="week <= 2"))


@pytest.fixture(scope="module")
def engine(truth):
    """An engine with the gold tables that the questions read."""
    connection = chdb.connect(":memory:")
    connection.query("CREATE DATABASE gold")
    read = {name for question, _ in CASES.values() for name in compile_question(CONTRACTS, question).datasets}
    for name in sorted(read):
        rows = truth.expected(name)  # noqa: F841 - the engine reads the variable
        connection.query(f"CREATE TABLE gold.{name} ENGINE = Memory AS SELECT * FROM Python(rows)")
    yield connection
    connection.close()


def test_every_metric_is_in_a_case():
    asked = {name for question, _ in CASES.values() for name in question.metrics}
    assert asked == set(metrics_of(CONTRACTS))


@pytest.mark.parametrize("name", CASES)
def test_a_metric_is_the_truth(engine, truth, name):
    question, query = CASES[name]
    compiled = compile_question(CONTRACTS, question)
    parameters = {key: str(value) for key, value in compiled.parameters.items()}
    answer = engine.query(compiled.sql, "ArrowTable", params=parameters)
    found = [tuple(row.values()) for row in answer.to_pylist()]
    wanted = truth.source.sql(query).fetchall()
    assert len(wanted) > 0
    assert [tuple(map(plain, row)) for row in found] == [tuple(map(plain, row)) for row in wanted]


def plain(value: object) -> object:
    return round(Decimal(str(value)), 2) if isinstance(value, int | float | Decimal) else str(value)
