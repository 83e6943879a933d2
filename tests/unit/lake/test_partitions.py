"""Ranges of dates, widened to partitions and told as SQL."""

from __future__ import annotations

from datetime import date

import pytest

from headwater.contracts.model import PartitionField
from headwater.errors import ContractError
from headwater.lake.changes import DateRange
from headwater.lake.partitions import FOREVER, NOTHING, WHOLE, Affected, dates

MONTH = PartitionField("d", "month")


def test_a_range_is_widened_to_its_months() -> None:
    assert dates(date(2017, 1, 31), date(2017, 2, 2)).aligned(MONTH) == dates(date(2017, 1, 1), date(2017, 3, 1))


def test_a_range_that_ends_with_a_month_takes_no_day_of_the_next() -> None:
    assert dates(date(2017, 12, 5), date(2018, 1, 1)).aligned(MONTH) == dates(date(2017, 12, 1), date(2018, 1, 1))


@pytest.mark.parametrize(
    ("transform", "first", "after"),
    [("day", date(2017, 3, 5), date(2017, 3, 6)), ("year", date(2017, 1, 1), date(2018, 1, 1))],
)
def test_other_cuts(transform: str, first: date, after: date) -> None:
    found = dates(date(2017, 3, 5), date(2017, 3, 6)).aligned(PartitionField("d", transform))
    assert found == dates(first, after)


@pytest.mark.parametrize("transform", ["identity", "day", "month", "year"])
def test_a_range_without_end_stays_without_end(transform: str) -> None:
    found = dates(date(2017, 3, 5)).aligned(PartitionField("d", transform))
    assert found.ranges[0].end == FOREVER
    assert "<" not in found.condition("d")


def test_a_cut_that_knows_no_time_is_refused() -> None:
    with pytest.raises(ContractError, match="bucket"):
        dates(date(2017, 1, 1)).aligned(PartitionField("d", "bucket"))


def test_ranges_that_touch_become_one() -> None:
    january, february = dates(date(2017, 1, 1), date(2017, 2, 1)), dates(date(2017, 2, 1), date(2017, 3, 1))
    assert (february | january).ranges == (DateRange(date(2017, 1, 1), date(2017, 3, 1)),)


def test_everything_absorbs_and_nothing_adds() -> None:
    january = dates(date(2017, 1, 1), date(2017, 2, 1))
    assert january | WHOLE == WHOLE
    assert january | NOTHING == january
    assert not NOTHING
    assert dates(date(2017, 1, 1), date(2017, 1, 1)) == NOTHING


def test_conditions() -> None:
    two = dates(date(2017, 1, 1), date(2017, 2, 1)) | dates(date(2017, 6, 1))
    assert two.condition("d") == "(`d` >= DATE'2017-01-01' AND `d` < DATE'2017-02-01') OR (`d` >= DATE'2017-06-01')"
    assert (WHOLE.condition("d"), NOTHING.condition("d")) == ("true", "false")


def test_description_is_for_people() -> None:
    assert (dates(date(2017, 1, 1), date(2017, 2, 1)) | dates(date(2017, 6, 1))).describe() == (
        "2017-01-01..2017-02-01, 2017-06-01.."
    )
    assert (Affected(whole=True).describe(), NOTHING.describe()) == ("all", "nothing")
