"""A question to the semantic layer: which metrics, by what, of which part, in what order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from headwater.errors import TerminalError

MAX_LIMIT = 10_000
PERIOD = "period"
"""The name of the time in an answer, and in filters and orders."""


class BadQuestion(TerminalError):
    """The metric cannot be asked like that."""


class Grain(StrEnum):
    """Into what the metric's time is put."""

    DAY = "day"
    WEEK = "week"  # by its Monday
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Operator(StrEnum):
    """How a dimension is compared."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="
    IN = "in"
    NOT_IN = "not in"
    IS_NULL = "is null"
    IS_NOT_NULL = "is not null"


Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on a dimension, or on `period` (the day itself, whatever the grain)."""

    dimension: str
    operator: Operator = Operator.EQUAL
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `order` holds names of the answer's columns, with `-` in front for the greatest first."""

    metrics: tuple[str, ...]
    dimensions: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    grain: Grain | None = None
    order: tuple[str, ...] = ()
    limit: int = 1_000
    offset: int = 0

    def __post_init__(self) -> None:
        """Raise `BadQuestion` for what no metric could answer."""
        if not self.metrics:
            raise BadQuestion("no metric is named", remedy="list_metrics shows them")
        for what, names in (("metric", self.metrics), ("dimension", self.dimensions), ("order", _bare(self.order))):
            if len(set(names)) != len(names):
                raise BadQuestion(f"a {what} is named twice", remedy="name it once")
        if not 1 <= self.limit <= MAX_LIMIT or self.offset < 0:
            raise BadQuestion(f"limit is 1 to {MAX_LIMIT:,}, offset not negative", remedy="page with offset")
        for condition in self.filters:
            alone = condition.operator in (Operator.IS_NULL, Operator.IS_NOT_NULL)
            many = condition.operator in (Operator.IN, Operator.NOT_IN)
            if (alone and condition.values) or (not alone and not condition.values):
                raise BadQuestion(f"{condition.dimension} {condition.operator}: wrong number of values", remedy="one")
            if not many and len(condition.values) > 1:
                raise BadQuestion(f"{condition.operator} takes one value", remedy="use `in` for several")


def _bare(order: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.removeprefix("-") for name in order)
