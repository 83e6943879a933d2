"""Which partitions of a gold table are to be replaced: everything, nothing, or ranges of dates.

Ranges are half-open and are widened to whole partitions, because a partition is what an overwrite replaces.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from headwater.contracts.model import PartitionField
from headwater.errors import ContractError
from headwater.lake.changes import DateRange, joined

FOREVER = date(9999, 12, 31)
"""End of a range that has none."""


@dataclass(frozen=True, slots=True)
class Affected:
    """Parts of a table: all of it (`whole`), or the rows whose change column lies in `ranges` (sorted, apart)."""

    whole: bool = False
    ranges: tuple[DateRange, ...] = ()

    def __bool__(self) -> bool:
        return self.whole or bool(self.ranges)

    def __or__(self, other: Affected) -> Affected:
        if self.whole or other.whole:
            return WHOLE
        return Affected(ranges=joined((*self.ranges, *other.ranges)))

    def condition(self, column: str) -> str:
        """SQL that is true for the rows of these parts."""
        if self.whole:
            return "true"
        return " OR ".join(_condition(column, r) for r in self.ranges) or "false"

    def aligned(self, partition: PartitionField) -> Affected:
        """Widened to whole partitions of a column cut by day, month or year. Raises `ContractError` for another cut."""
        if self.whole:
            return self
        cuts = {"identity": _day, "day": _day, "month": _month, "year": _year}
        if partition.transform not in cuts:
            raise ContractError(
                f"a gold table cannot be partitioned by {partition.transform}({partition.column})",
                remedy="use month, day or year of the change column",
            )
        cut = cuts[partition.transform]
        return Affected(
            ranges=joined(DateRange(cut(r.start)[0], cut(r.end - timedelta(days=1))[1]) for r in self.ranges)
        )

    def describe(self) -> str:
        """For people: `all`, `nothing`, or `2017-03-01..2017-04-01, 2017-06-01..`."""
        if self.whole:
            return "all"
        return ", ".join(f"{r.start}..{'' if r.end == FOREVER else r.end}" for r in self.ranges) or "nothing"


WHOLE = Affected(whole=True)
NOTHING = Affected()


def dates(start: date, end: date = FOREVER) -> Affected:
    """One range of dates, without an end where none is given."""
    return Affected(ranges=(DateRange(start, end),)) if start < end else NOTHING


def _condition(column: str, found: DateRange) -> str:
    lower = f"`{column}` >= DATE'{found.start}'"
    return f"({lower})" if found.end == FOREVER else f"({lower} AND `{column}` < DATE'{found.end}')"


def _day(day: date) -> tuple[date, date]:
    return day, _after(day)


def _month(day: date) -> tuple[date, date]:
    first = day.replace(day=1)
    return first, FOREVER if (day.year, day.month) == (9999, 12) else (first + timedelta(days=32)).replace(day=1)


def _year(day: date) -> tuple[date, date]:
    return date(day.year, 1, 1), FOREVER if day.year == FOREVER.year else date(day.year + 1, 1, 1)


def _after(day: date) -> date:
    return FOREVER if day >= FOREVER - timedelta(days=1) else day + timedelta(days=1)
