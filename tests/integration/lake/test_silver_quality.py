"""Silver is judged after each build: warnings are counted, broken table rules fail it until they hold."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from tests.datasets.cases import Lake
from tests.integration.lake.sales import new_dataset, position, sale

from headwater.contracts.model import Dataset, RowRule, Severity, TableRule
from headwater.lake import silver
from headwater.lake.restate import restate
from headwater.lake.silver import build
from headwater.lake.snapshots import head_id
from headwater.quality.checks import QualityFailed
from headwater.quality.results import latest_reports

pytestmark = pytest.mark.integration

CHEAP = RowRule("cheap", "sales_value < 100", "sales_value", Severity.WARNING)


def test_a_broken_table_rule_fails_the_build_and_those_after_it_until_it_holds(lake: Lake) -> None:
    dataset = dataclasses.replace(new_dataset(lake), table_rules=(TableRule("enough", "rowCount", minimum=2),))
    lake.arrive(dataset, [sale(1000, 0)])
    for _ in range(2):
        with pytest.raises(QualityFailed, match="enough: expected rowCount at least 2, found 1"):
            build(lake.spark, lake.catalog, dataset)
        report = _report(dataset)
        assert (report["passed"], report["snapshot_id"]) == (False, head_id(lake.catalog.load_table(_silver(dataset))))
    lake.arrive(dataset, [sale(1001, 1)])
    assert build(lake.spark, lake.catalog, dataset)["checks"] == 1
    assert _report(dataset)["passed"]
    assert build(lake.spark, lake.catalog, dataset)["mode"] == "unchanged"


def test_a_build_that_was_killed_before_it_was_judged_is_judged_by_the_next(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dataclasses.replace(new_dataset(lake), table_rules=(TableRule("few", "rowCount", maximum=1),))
    lake.arrive(dataset, [sale(1000, 0)])
    build(lake.spark, lake.catalog, dataset)
    lake.arrive(dataset, [sale(1001, 1)])
    with monkeypatch.context() as patched:
        patched.setattr(silver, "judge_silver", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            build(lake.spark, lake.catalog, dataset)
    assert _report(dataset)["passed"]
    with pytest.raises(QualityFailed, match="few: expected rowCount at most 1, found 2"):
        build(lake.spark, lake.catalog, dataset)


class Killed(BaseException):
    """The process ends here."""


def test_warnings_are_counted_and_keep_no_row_out(lake: Lake) -> None:
    dataset = new_dataset(lake)
    dataset = dataclasses.replace(dataset, row_rules=(*dataset.row_rules, CHEAP))
    lake.arrive(dataset, [sale(1000, 0, sales_value="250.00"), sale(1001, 1), sale(1002, 2, quantity=-1)])
    result = build(lake.spark, lake.catalog, dataset)
    assert result["warnings"] == ["cheap: expected every row: sales_value < 100, found 1"]
    assert (result["rows"], result["rows_refused"]) == (2, 1)
    assert {r["rule"]: r["passed"] for r in _report(dataset)["results"]} == {
        "cheap": False,
        "primary_key_unique": True,
        "transactions_arrived": True,
    }
    day = sale(1001, 1)["event_timestamp"].date()
    assert restate(lake.spark, lake.catalog, dataset, day, day + dt.timedelta(days=1))["warnings"] == []


def test_a_repeated_key_is_found_where_the_batch_is_and_not_looked_for_elsewhere(lake: Lake) -> None:
    dataset = new_dataset(lake)
    lake.arrive(dataset, [sale(1000, 0), sale(5000, 1)], position(2))
    build(lake.spark, lake.catalog, dataset)
    lake.spark.sql(f"INSERT INTO lake.{_silver(dataset)} SELECT * FROM lake.{_silver(dataset)} WHERE basket_id = 5000")
    lake.arrive(dataset, [sale(1001, 2)], position(3))
    build(lake.spark, lake.catalog, dataset)
    lake.arrive(dataset, [sale(5000, 3, product_id=2), sale(4999, 4), sale(5001, 5)], position(6))
    with pytest.raises(QualityFailed, match="primary_key_unique: expected duplicateValues .* at most 0, found 1"):
        build(lake.spark, lake.catalog, dataset)


def _report(dataset: Dataset) -> dict[str, Any]:
    (report,) = latest_reports(dataset.name)
    return report


def _silver(dataset: Dataset) -> str:
    return f"silver.{dataset.name}"
