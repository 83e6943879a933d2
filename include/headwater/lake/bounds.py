"""Where in a table the rows of a batch can be: ranges of its partition column and of its keys.

A MERGE that says so opens only the files that can hold one of the batch's keys, so that its cost follows the batch and
not the table. That is right only for columns that never change for a key: the key itself, and the partition columns
of a silver table, of which the contract promises it.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from headwater.contracts.types import DataType, Primitive

MOST_RANGES = 64
"""More partitions than this are told as one range: a longer condition costs the planner more than it saves."""

ORDERED = (Primitive.INT, Primitive.LONG, Primitive.DATE, Primitive.TIMESTAMP)
"""Key types whose bounds in Iceberg's metadata are exact (those of strings are cut off)."""


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
        if self.low is None:
            return IsNull(self.column)
        low, high = (v.isoformat() if isinstance(v, date) else v for v in (self.low, self.high))
        return And(GreaterThanOrEqual(self.column, low), LessThanOrEqual(self.column, high))


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
    """The columns whose ranges are worth knowing: the partition column, and keys of an ordered type."""
    partition = [p.column for p in dataset.partition_by[:1]]
    keys = [name for name in dataset.primary_key if _is_ordered(dataset.column(name).type)]
    return tuple(dict.fromkeys(partition + keys))


def bounds_of(columns: Sequence[str], groups: Sequence[Sequence[tuple[Any, Any]]]) -> Bounds:
    """Bounds from `(minimum, maximum)` of each of `columns`, one sequence per group; (None, None): all null."""
    if len(groups) > MOST_RANGES:
        return Bounds((tuple(r for i, c in enumerate(columns) if (r := _widest(c, [g[i] for g in groups]))),))
    return Bounds(tuple(tuple(Range(c, low, high) for c, (low, high) in zip(columns, g, strict=True)) for g in groups))


def _widest(column: str, pairs: Sequence[tuple[Any, Any]]) -> Range | None:
    """One range around all; none where some are null."""
    if any(low is None for low, _ in pairs):
        return None
    return Range(column, min(low for low, _ in pairs), max(high for _, high in pairs))


def _is_ordered(kind: DataType) -> bool:
    return kind in ORDERED
