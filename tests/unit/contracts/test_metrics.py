"""Metrics of a contract are judged hard: what is wrong is said with line and remedy."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from headwater.contracts.loader import ContractErrors, load_contracts, load_file
from headwater.errors import ContractError
from headwater.settings import get_settings

METRIC = "- name: coupon_cost\n            label"
EXPRESSION = "expression: sum(coupon_cost)"
FAULTS = {
    "not aggregated": (EXPRESSION, "expression: coupon_cost", "'coupon_cost' is not aggregated"),
    "half aggregated": (EXPRESSION, "expression: sum(coupon_cost) - coupon_disc", "'coupon_disc' is not aggregated"),
    "aggregated twice": (EXPRESSION, "expression: sum(max(coupon_cost))", "stands in another aggregate"),
    "a missing column": (EXPRESSION, "expression: sum(cost)", "there is no column 'cost'"),
    "no SQL": (EXPRESSION, "expression: sum(", "not an expression of SQL"),
    "division": (EXPRESSION, "expression: sum(coupon_cost) / count(*)", "a measure does not divide"),
    "a query": (EXPRESSION, "expression: (SELECT sum(coupon_cost) FROM t)", "may not stand in a measure"),
    "another function": (EXPRESSION, "expression: sum(getenv(coupon_cost))", "may not stand in a measure"),
    "a literal": (EXPRESSION, "expression: '1'", "a measure aggregates"),
    "nothing to compute": (EXPRESSION, "decimals: 2", "an expression or a ratio"),
    "both": (EXPRESSION, f"{EXPRESSION}\n            ratio: {{of: a, to: b}}", "an expression or a ratio"),
    "a ratio of nothing": (EXPRESSION, "ratio: {of: coupon_cost, to: cost}", "there is no measure 'cost'"),
    "an unknown key": ("label: Cost of coupons\n", "lable: Cost of coupons\n", "unknown key of a metric: lable"),
    "an empty label": ("label: Cost of coupons\n", 'label: ""\n', "should be non-empty"),
    "no time": ("time: sale_date\n            dimensions: &", "time: department\n            dimensions: &",
                "no date or timestamp"),
    "no dimension": ("&coupons [department, ", "&coupons [division, ", "there is no column 'division'"),
    "two of a name": ("- name: coupon_match_cost", "- name: coupon_cost", "two metrics are named 'coupon_cost'"),
    "a strange name": (METRIC, METRIC.replace("_", " "), "does not match"),
    "an unknown answer": ("{failing: refuse}", "{failing: ignore}", "answerWhen: 'failing: ignore'"),
    "an unknown state": ("{failing: refuse}", "{broken: refuse}", "answerWhen: 'broken: refuse'"),
}  # fmt: skip
ACROSS = {
    "a name that is taken": (METRIC, METRIC.replace("coupon_cost", "revenue"), "'revenue' is a metric of"),
    "a dataset that is not there": ("&coupons [department, ", "&coupons [dim_shop.name, ", "no dataset 'dim_shop'"),
    "no way to it": ("&coupons [department, ", "&coupons [dim_store.store_name, ", "no column refers to dim_store"),
}


@pytest.fixture
def spoilt(tmp_path: Path):
    """The demo's contracts with one text of mart_finance_coupon_cost replaced."""

    def spoil(old: str, new: str) -> Path:
        shutil.copytree(get_settings().contracts_dir, tmp_path / "contracts")
        path = tmp_path / "contracts" / "loyalty" / "mart_finance_coupon_cost.yaml"
        text = path.read_text()
        assert text.count(old) == 1, text.count(old)
        path.write_text(text.replace(old, new))
        return path

    return spoil


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_metric_is_refused(spoilt, fault):
    old, new, message = FAULTS[fault]
    path = spoilt(old, new)
    with pytest.raises(ContractError, match=re.escape(message)) as raised:
        load_file(path)
    first = raised.value.errors[0] if isinstance(raised.value, ContractErrors) else raised.value
    assert re.fullmatch(r".*mart_finance_coupon_cost\.yaml:\d+", first.where)
    assert first.remedy


@pytest.mark.parametrize("fault", ACROSS)
def test_a_metric_that_does_not_fit_the_others_is_refused(spoilt, fault):
    old, new, message = ACROSS[fault]
    path = spoilt(old, new)
    with pytest.raises(ContractError, match=re.escape(message)):
        load_contracts(path.parents[1])
