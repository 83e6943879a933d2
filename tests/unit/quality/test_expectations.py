"""Great Expectations' verdict on measured numbers."""

from __future__ import annotations

import pytest

from headwater.contracts.model import Severity
from headwater.errors import HeadwaterError
from headwater.quality.checks import CheckResult, QualityFailed, Report
from headwater.quality.expectations import judge
from headwater.quality.measures import Measure


@pytest.mark.parametrize(
    ("minimum", "maximum", "value", "held"),
    [
        (0, 0, 0, True),
        (0, 0, 1, False),
        (None, 2, 2, True),
        (None, 2, 2.5, False),
        (1, None, 0, False),
        (1, None, 10**9, True),
        (0, 0, None, False),  # a query that gives null has found nothing out
        (None, None, None, True),
    ],
)
def test_a_number_within_its_bounds_holds(
    minimum: float | None, maximum: float | None, value: float | None, held: bool
) -> None:
    assert judge([Measure("rule", Severity.ERROR, "", minimum, maximum, value)]) == [held]


@pytest.mark.parametrize(
    ("minimum", "maximum", "value", "held"),
    [(0, None, 0, False), (0, None, 0.001, True), (None, 5, 5, False), (None, 5, 4.999, True), (0, 5, None, False)],
)
def test_an_excluded_bound_breaks_the_rule(
    minimum: float | None, maximum: float | None, value: float | None, held: bool
) -> None:
    measure = Measure("rule", Severity.ERROR, "", minimum, maximum, value, exclusive=True)
    assert judge([measure]) == [held]


def test_each_rule_has_its_own_verdict_even_under_one_name() -> None:
    measures = [Measure("same", Severity.ERROR, "", 0, 0, value) for value in (0, 5, 0)]
    assert judge(measures) == [True, False, True]
    assert judge([]) == []


def test_an_error_names_rule_expected_and_found_and_a_warning_is_none() -> None:
    wrong = CheckResult("no_negative", Severity.ERROR, False, "every row: a >= 0", "3 rows")
    odd = CheckResult("few_unknown", Severity.WARNING, False, "at most 1", "2")
    report = Report("mart", (wrong, odd))
    with pytest.raises(QualityFailed, match="no_negative: expected every row: a >= 0, found 3 rows") as caught:
        report.raise_for_errors("gold.mart")
    assert isinstance(caught.value, HeadwaterError)
    assert not caught.value.retryable
    assert report.warnings == ("few_unknown: expected at most 1, found 2",)
    Report("mart", (odd,)).raise_for_errors("gold.mart")
