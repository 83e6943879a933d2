"""What a rule becomes before it is judged: its bounds, and what it says of itself."""

from __future__ import annotations

import pytest

from headwater.contracts.model import RowRule, TableRule
from headwater.quality.measures import measured


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (TableRule("r", "rowCount", minimum=1), "rowCount at least 1"),
        (TableRule("r", "sql", minimum=0, exclusive=True), "its query to give more than 0"),
        (
            TableRule("r", "nullValues", ("a",), maximum=5, unit="percent", exclusive=True),
            "nullValues of a less than 5 %",
        ),
        (TableRule("r", "sql", minimum=0, maximum=1, exclusive=True), "its query to give more than 0 and less than 1"),
        (TableRule("r", "sql", minimum=0, maximum=1), "its query to give 0 to 1"),
        (TableRule("r", "rowCount", minimum=3, maximum=3), "rowCount 3"),
        (TableRule("r", "rowCount", minimum=1_020_001, maximum=2e9), "rowCount 1020001 to 2000000000"),
        (TableRule("r", "sql"), "its query to give a number"),
        (RowRule("r", "a > 0"), "every row: a > 0"),
    ],
)
def test_what_is_expected_in_words(rule: RowRule | TableRule, expected: str) -> None:
    assert measured(rule, 1).expected == expected


def test_an_excluded_bound_stays_excluded() -> None:
    assert measured(TableRule("r", "sql", minimum=0, exclusive=True), 0).exclusive
    assert not measured(TableRule("r", "sql", minimum=0), 0).exclusive
    assert not measured(RowRule("r", "a > 0"), 0).exclusive
