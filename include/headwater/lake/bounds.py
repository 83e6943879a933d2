"""Where in a table the rows of a batch can be: the ranges of its keys, per partition of the batch.

A MERGE that says so opens only the files that can hold one of the batch's keys, so that its cost follows the batch and
not the table. Only what never changes for a key may be used: the key itself, and a partition column that is derived
from the key alone. (A corrected event may well have another date: bounds on `transaction_date` would miss the row it
corrects, and leave it there twice.) Keys that grow with time, or hold a date, prune well; random ones do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal as Number
from typing import Any

from pyiceberg.expressions import (
    AlwaysFalse,
    AlwaysTrue,
    And,
    BooleanExpression,
    GreaterThanOrEqual,
    IsNull,
    LessThanOrEqual,
    Or,
)
from pyiceberg.table import Table

from headwater.contracts.model import Dataset
from headwater.contracts.types import Primitive

MOST_RANGES = 64
"""More partitions than this are told as one range: a longer condition costs the planner more than it saves."""

LONGEST_TEXT = 100
"""A longer key (10 MB are possible) is no bound: it would stand in the statement."""

UNKNOWN = object()

ORDERED = (Primitive.INT, Primitive.LONG, Primitive.DATE, Primitive.TIMESTAMP, Primitive.STRING, Primitive.UUID)
"""Key types whose ranges Iceberg's metadata knows (of long strings a safe prefix)."""


@dataclass(frozen=True, slots=True)
class Range:
    """Values of `column` from `low` to `high`, both included; both None stands for null alone."""

    column: str
    low: Any
    high: Any

    def to_sql(self, alias: str) -> str:
        """As a condition in Spark SQL."""
        if self.low is None:
            return f"{alias}.`{self.column}` IS NULL"
        return f"{alias}.`{self.column}` BETWEEN {literal(self.low)} AND {literal(self.high)}"

    def to_iceberg(self) -> BooleanExpression:
        """As a condition for PyIceberg."""
        # PyIceberg's expressions are pydantic models whose arguments mypy cannot see.
        if self.low is None:
            return IsNull(self.column)  # type: ignore[call-arg, misc, unused-ignore]
        low = GreaterThanOrEqual(self.column, self.low)  # type: ignore[call-arg, misc, unused-ignore]
        return And(low, LessThanOrEqual(self.column, self.high))  # type: ignore[call-arg, misc, unused-ignore]


@dataclass(frozen=True, slots=True)
class Bounds:
    """A row of the batch lies in at least one of the groups, and there in each range of that group.

    No group: there are no rows. A group without ranges: nothing is known of its rows.
    """

    groups: tuple[tuple[Range, ...], ...]

    def to_sql(self, alias: str) -> str:
        """As a condition in Spark SQL."""
        groups = [" AND ".join(r.to_sql(alias) for r in group) or "true" for group in self.groups]
        return " OR ".join(f"({g})" for g in groups) or "false"

    def to_iceberg(self) -> BooleanExpression:
        """As a condition for PyIceberg."""
        found: BooleanExpression = AlwaysFalse()
        for group in self.groups:
            part: BooleanExpression = AlwaysTrue()
            for one in group:
                part = And(part, one.to_iceberg())
            found = Or(found, part)
        return found

    def files(self, table: Table) -> tuple[int, int]:
        """How many data files of the table can hold rows within the bounds, and their bytes (planning only)."""
        if not self.groups:
            return 0, 0
        tasks = list(table.scan(row_filter=self.to_iceberg()).plan_files())
        return len(tasks), sum(task.file.file_size_in_bytes for task in tasks)


EVERYWHERE = Bounds(((),))
"""Rows may be anywhere."""


def literal(value: Any) -> str:
    """A value as a Spark SQL literal."""
    match value:
        case bool():
            return str(value).lower()
        case datetime():
            return f"TIMESTAMP'{value:%Y-%m-%d %H:%M:%S.%f}'"
        case date():
            return f"DATE'{value:%Y-%m-%d}'"
        case int() | float() | Number():
            return str(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def group_expression(dataset: Dataset) -> str:
    """The expression by which a batch is split into ranges: its partition, cut as the table is."""
    if not dataset.partition_by:
        return "cast(null AS string)"
    first = dataset.partition_by[0]
    cut = {"day": "'DAY'", "month": "'MONTH'", "year": "'YEAR'"}.get(first.transform)
    return f"`{first.column}`" if cut is None else f"date_trunc({cut}, `{first.column}`)"


def bounded_columns(dataset: Dataset) -> tuple[str, ...]:
    """The columns whose ranges may prune: keys of an ordered type, and partition columns derived from keys alone."""
    keys = set(dataset.primary_key)
    partitions = [dataset.column(p.column) for p in dataset.partition_by]
    derived = [c.name for c in partitions if c.derived is not None and c.sources and keys.issuperset(c.sources)]
    return (*derived, *(name for name in dataset.primary_key if dataset.column(name).type in ORDERED))


def bounds_of(columns: Sequence[str], groups: Sequence[Sequence[tuple[Any, Any]]]) -> Bounds:
    """Bounds from `(minimum, maximum)` of each of `columns`, one sequence per group; (None, None): all null."""
    if len(groups) > MOST_RANGES:
        groups = [[_widest([group[i] for group in groups]) for i in range(len(columns))]]
    return Bounds(tuple(tuple(_ranges(columns, group)) for group in groups))


def _ranges(columns: Sequence[str], group: Sequence[tuple[Any, Any]]) -> Iterator[Range]:
    for column, (low, high) in zip(columns, group, strict=True):
        if low is not UNKNOWN and not any(isinstance(v, str) and len(v) > LONGEST_TEXT for v in (low, high)):
            yield Range(column, low, high)


def _widest(pairs: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """One range around all; unknown where some are null."""
    if any(low is None for low, _ in pairs):
        return UNKNOWN, UNKNOWN
    return min(low for low, _ in pairs), max(high for _, high in pairs)
