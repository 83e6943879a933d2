"""The same question becomes the same SQL, held by golden files; HEADWATER_TEST_REWRITE=1 writes them anew."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from headwater.contracts.loader import load_contracts
from headwater.contracts.metrics import Metric, Ratio
from headwater.policy.loader import load_policy
from headwater.policy.model import Mask
from headwater.semantics.catalogue import UnknownMetric, metrics_of, offers
from headwater.semantics.compiling import compile_question
from headwater.semantics.question import BadQuestion, Filter, Grain, Operator, Question
from headwater.serving.queries import tables_of

GOLDEN = Path(__file__).parent / "golden"
CONTRACTS = load_contracts()
ROLES = load_policy(contracts=CONTRACTS).roles
QUESTIONS = {
    "one_figure": Question(("households_in_segment",)),
    "ratio_by_joined_dimensions": Question(
        ("revenue", "average_basket_value"),
        ("dim_product.department", "dim_household.age", "store_id"),
        (
            Filter("period", Operator.AT_LEAST, ("2017-02-01",)),
            Filter("dim_product.brand", Operator.IN, ("National", "it's")),
            Filter("dim_household.age", Operator.UNEQUAL, ("Unknown",)),
            Filter("store_id", Operator.NOT_IN, (367, 406)),
        ),
        Grain.MONTH,
        ("-revenue",),
        50,
        100,
    ),
    "percent": Question(
        ("campaign_response",), ("campaign_type",), (Filter("start_date", Operator.LESS, ("2017-06-01",)),)
    ),
    "null": Question(("coupon_cost",), filters=(Filter("manufacturer_id", Operator.IS_NOT_NULL),), grain=Grain.WEEK),
}  # fmt: skip
REFUSED = {
    "another dataset": ({"metrics": ("revenue", "coupon_cost")}, "ask metrics of one dataset together"),
    "no dimension": ({"metrics": ("revenue",), "dimensions": ("household_id",)}, "is not asked by 'household_id'"),
    "SQL as dimension": ({"metrics": ("revenue",), "dimensions": ("1) FROM url('http://x')--",)}, "is not asked by"),
    "a filter on none": ({"metrics": ("revenue",), "filters": (Filter("basket_id", values=(1,)),)}, "is not asked by"),
    "text for a number": ({"metrics": ("revenue",), "filters": (Filter("store_id", values=("1",)),)}, "'1' is no long"),
    "no date": ({"metrics": ("revenue",), "filters": (Filter("period", values=("may",)),)}, "'may' is no date"),
    "no time": ({"metrics": ("campaign_response",), "grain": Grain.DAY}, "has no one time"),
    "order by none": (
        {"metrics": ("revenue",), "dimensions": ("week",), "order": ("store_id",)},
        "no column 'store_id'",
    ),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_sql_is_as_it_was(name):
    compiled = compile_question(CONTRACTS, QUESTIONS[name])
    path, text = GOLDEN / f"{name}.sql", f"{compiled.sql}\n-- {json.dumps(compiled.parameters)}\n"
    if os.environ.get("HEADWATER_TEST_REWRITE"):
        path.write_text(text)
    assert path.read_text() == text


@pytest.mark.parametrize("name", sorted(metrics_of(CONTRACTS)))
def test_the_parser_of_agents_lets_every_metric_pass(name):
    metric = metrics_of(CONTRACTS)[name]
    compiled = compile_question(CONTRACTS, Question((name,), metric.dimensions))
    assert tables_of(compiled.sql) == sorted(f"gold.{dataset}" for dataset in compiled.datasets)


@pytest.mark.parametrize("name", REFUSED)
def test_a_question_that_cannot_be_asked_says_why(name):
    given, message = REFUSED[name]
    with pytest.raises(BadQuestion, match=message.replace("(", r"\(").replace(")", r"\)")):
        compile_question(CONTRACTS, Question(**given))


def test_a_percentage_is_of_the_whole_measure():
    given = {"dataset": "fct_sales", "label": "x", "description": "x", "unit": "percent"}
    of = Metric("kept", expression="sum(sales_value) - sum(retail_discount)", **given)
    to = Metric("sold", expression="sum(sales_value)", **given)
    share = Metric("kept_share", ratio=Ratio("kept", "sold"), decimals=2, **given)
    sales = replace(CONTRACTS.get("fct_sales"), metrics=(of, to, share))
    contracts = replace(CONTRACTS, datasets={**CONTRACTS.datasets, "fct_sales": sales})
    sql = compile_question(contracts, Question(("kept_share",))).sql
    assert "100 * (SUM(t.sales_value) - SUM(t.retail_discount))" in sql


def test_who_sees_only_the_year_is_offered_no_time():
    sales = ROLES["analyst"].views["fct_sales"]
    assert CONTRACTS.get("fct_sales").metrics[0].time == "sale_date"
    by_year = replace(sales, masks={**sales.masks, "sale_date": Mask.YEAR_ONLY})
    role = replace(ROLES["analyst"], views={**ROLES["analyst"].views, "fct_sales": by_year})
    assert offers(CONTRACTS, role)["revenue"].metric.time is None
    assert compile_question(CONTRACTS, Question(("revenue",)), role).columns == ("revenue",)
    for asked in ({"grain": Grain.MONTH}, {"filters": (Filter("period", Operator.LESS, ("2017-06-01",)),)}):
        with pytest.raises(BadQuestion, match="has no one time"):
            compile_question(CONTRACTS, Question(("revenue",), **asked), role)


def test_values_are_never_in_the_text():
    nasty = "x') UNION ALL SELECT * FROM url('http://127.0.0.1')--"
    question = Question(("revenue",), filters=(Filter("dim_product.brand", values=(nasty,)),))
    compiled = compile_question(CONTRACTS, question)
    assert nasty not in compiled.sql
    assert compiled.parameters == {"p0": nasty}


def test_a_figure_over_what_a_role_sees_masked_is_not_offered():
    manager = offers(CONTRACTS, ROLES["store_manager"])
    assert "buying_households" not in manager  # all are null, and none would be counted
    assert "baskets" in manager
    with pytest.raises(UnknownMetric):
        compile_question(CONTRACTS, Question(("buying_households",)), ROLES["store_manager"])


def test_different_hashes_are_counted_as_different_households():
    assert ROLES["agent"].views["fct_sales"].masks["household_id"] is Mask.HASH
    assert "buying_households" in offers(CONTRACTS, ROLES["agent"])
    assert "baskets" not in offers(CONTRACTS, ROLES["marketer"])  # of which it sees the last four digits


def test_a_dimension_of_a_dataset_that_a_role_does_not_see_is_not_offered():
    offered = offers(CONTRACTS, ROLES["marketer"])["revenue"].dimensions
    assert "dim_store.store_name" not in offered
    assert "dim_household.age" in offered
