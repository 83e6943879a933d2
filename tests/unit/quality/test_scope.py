"""Which rules the rows of a build can answer alone."""

from __future__ import annotations

import dataclasses

import pytest

from headwater.contracts.loader import load_contracts
from headwater.contracts.model import TableRule
from headwater.quality.scope import judged_by_rows, key_fixes_date

CATALOGUE = load_contracts()
SALES = CATALOGUE.get("fct_sales")


@pytest.mark.parametrize(
    ("rule", "by_rows"),
    [
        (TableRule("r", "nullValues", ("store_key",), maximum=0), True),
        (TableRule("r", "nullValues", ("store_key",), maximum=5), False),
        (TableRule("r", "nullValues", ("store_key",), maximum=0, unit="percent"), False),
        (TableRule("r", "rowCount", minimum=1), False),
        (TableRule("r", "sql", query="SELECT 1"), False),
        (TableRule("r", "sql", query="SELECT 1", arguments={"scope": "rows"}), True),
        (TableRule("r", "duplicateValues", ("sale_date", "store_id"), maximum=0), True),
        (TableRule("r", "duplicateValues", ("store_id",), maximum=0), False),
    ],
)
def test_scope(rule: TableRule, by_rows: bool) -> None:
    assert judged_by_rows(CATALOGUE, SALES, rule) is by_rows


def test_the_key_of_a_fact_that_is_the_key_of_its_stream_lies_in_one_month() -> None:
    assert key_fixes_date(CATALOGUE, SALES, SALES.primary_key)
    assert not key_fixes_date(CATALOGUE, SALES, SALES.primary_key[:1])
    assert not key_fixes_date(CATALOGUE, dataclasses.replace(SALES, change_column=None), SALES.primary_key)
