"""Rows of one dataset, asked for by columns, filters and order, a page at a time by key.

Names come from the role's view alone, values are always bound. A page begins where the last one ended, by the values of
the order's columns (and of the key, so that the order is total), not by counting rows: a page deep inside costs what
the first one does, and rows that come or go in front of it move nothing.

Where the key is masked so that different rows look alike, a hash of all that is shown orders them, and rows that are
alike in that too are counted (`skip`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from headwater.api.problems import Problem
from headwater.api.reading.cursor import Cursor
from headwater.api.reading.literals import parameter, unusable
from headwater.serving.shape import Shape, ShownColumn
from headwater.warehouse.embedded.statements import quote_name

FILTER = r"[a-z_][a-z0-9_]*:(eq|ne|lt|le|gt|ge|in|null|contains|prefix):[\s\S]{0,2000}"
SORT = r"-?[a-z_][a-z0-9_]*(,-?[a-z_][a-z0-9_]*)*"
COLUMNS = r"[a-z_][a-z0-9_]*(,[a-z_][a-z0-9_]*)*"
MOST_FILTERS = 20
MOST_VALUES = 100
TIE = "_tie"
_COMPARISONS = {"eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_TEXT = {"contains": "position({column}, {value}) > 0", "prefix": "startsWith({column}, {value})"}
_FILTER = re.compile(r"([^:]*):([^:]*):(.*)", re.S)


@dataclass(frozen=True, slots=True)
class Ordering:
    """One column of the order; `shown` is None for the hash that breaks ties."""

    name: str
    kind: str
    nullable: bool
    descending: bool

    @property
    def clause(self) -> str:
        """For ORDER BY; nulls stand last in both directions."""
        return f"{quote_name(self.name)} {'DESC' if self.descending else 'ASC'} NULLS LAST"


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its parameters; `columns` are those of the answer, behind them come those of `keys` that it has not."""

    sql: str
    parameters: Mapping[str, str]
    columns: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(slots=True)
class Selection:
    """What is asked of one dataset: judged against its shape."""

    shape: Shape
    columns: tuple[str, ...]
    order: tuple[Ordering, ...]
    conditions: list[str] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def question(self) -> list[Any]:
        """What makes two selections the same one, apart from the page."""
        order = [[one.name, one.descending] for one in self.order]
        return [self.shape.dataset, list(self.columns), order, self.conditions, self.parameters]

    def statement(self, database: str, limit: int, cursor: Cursor | None) -> Statement:
        """The SELECT of a page, or of the rest from there; `limit` rows at most."""
        names = [*self.columns, *(one.name for one in self.order if one.name not in self.columns)]
        return self._statement([self._expression(name) for name in names], database, limit, cursor)

    def replay(self, limit: int, cursor: Cursor | None = None) -> str:
        """The same rows and columns in words of the datasets, as evidence: parameters stay named."""
        own = self._statement([quote_name(name) for name in self.columns], "role", limit, cursor).sql
        table = ".".join(map(quote_name, self.shape.table.split(".")))
        # The order's own hash is no column of the answer, so there is no name for it.
        return own.replace(f"`role`.{quote_name(self.shape.dataset)}", table).replace(quote_name(TIE), self._tie)

    def _statement(self, expressions: list[str], database: str, limit: int, cursor: Cursor | None) -> Statement:
        conditions, parameters = list(self.conditions), dict(self.parameters)
        if cursor is not None:
            conditions.append(self._from(cursor, parameters))
        where = f" WHERE {' AND '.join(f'({one})' for one in conditions)}" if conditions else ""
        order = ", ".join(one.clause for one in self.order)
        source = f"{quote_name(database)}.{quote_name(self.shape.dataset)}"
        offset = f" OFFSET {cursor.skip}" if cursor and cursor.skip else ""
        sql = f"SELECT {', '.join(expressions)} FROM {source}{where} ORDER BY {order} LIMIT {limit}{offset}"  # noqa: S608
        return Statement(sql, parameters, self.columns, tuple(one.name for one in self.order))

    def _expression(self, name: str) -> str:
        return f"{self._tie} AS {quote_name(TIE)}" if name == TIE else quote_name(name)

    @property
    def _tie(self) -> str:
        every = ", ".join(quote_name(column) for column in self.shape.columns)
        return f"cityHash64(toString(tuple({every})))"

    def _from(self, cursor: Cursor, parameters: dict[str, str]) -> str:
        """Rows at the cursor's place or behind it, as ORDER BY has them."""
        if len(cursor.after) != len(self.order):
            raise _another()
        alternatives: list[str] = []
        equal: list[str] = []
        for number, (one, value) in enumerate(zip(self.order, cursor.after, strict=True)):
            name = quote_name(one.name)
            if value is None:
                equal.append(f"isNull({name})")
                continue
            bound = f"{{c{number}:{one.kind}}}"
            parameters[f"c{number}"] = parameter(value, one.kind)
            behind = f"{name} {'<' if one.descending else '>'} {bound}"
            if one.nullable:
                behind = f"({behind} OR isNull({name}))"
            alternatives.append(" AND ".join([*equal, behind]))
            equal.append(f"{name} = {bound}")
        return " OR ".join(f"({one})" for one in [*alternatives, " AND ".join(equal)])


def selected(shape: Shape, columns: str = "", filters: Sequence[str] = (), sort: str = "") -> Selection:
    """The selection. Raises `Problem`: 400 for what has no form, 422 for a column, an order or a value that is not."""
    names = tuple(dict.fromkeys(columns.split(","))) if columns else tuple(shape.columns)
    for name in names:
        _column(shape, name)
    found = Selection(shape, names, _order(shape, sort))
    if len(filters) > MOST_FILTERS:
        raise Problem(HTTPStatus.BAD_REQUEST, "malformed-request", f"at most {MOST_FILTERS} filters")
    for number, text in enumerate(filters):
        match = _FILTER.fullmatch(text)
        if match is None:
            raise Problem(HTTPStatus.BAD_REQUEST, "malformed-request", "a filter is <column>:<operator>:<value>")
        found.conditions.append(_condition(_column(shape, match[1]), match[2], match[3], f"f{number}", found))
    return found


def _column(shape: Shape, name: str) -> ShownColumn:
    if name not in shape.columns:
        raise unusable("there is no such column in what you see of this dataset")
    return shape.columns[name]


def _order(shape: Shape, sort: str) -> tuple[Ordering, ...]:
    order: dict[str, Ordering] = {}
    for part in sort.split(",") if sort else ():
        column = _column(shape, part.removeprefix("-"))
        if not column.comparable:
            raise unusable(f"column {column.name} has no order")
        order.setdefault(column.name, _ordering(column, descending=part.startswith("-")))
    for name in shape.key:
        order.setdefault(name, _ordering(shape.columns[name], descending=False))
    if not shape.key:
        order[TIE] = Ordering(TIE, "UInt64", nullable=False, descending=False)
    return tuple(order.values())


def _ordering(column: ShownColumn, *, descending: bool) -> Ordering:
    return Ordering(column.name, column.kind, column.nullable, descending)


def _condition(column: ShownColumn, operator: str, text: str, name: str, found: Selection) -> str:
    quoted = quote_name(column.name)
    if operator == "null":
        if text not in ("true", "false"):
            raise unusable("null is asked with true or false")
        return f"isNull({quoted})" if text == "true" else f"isNotNull({quoted})"
    if not column.comparable:
        raise unusable(f"column {column.name} cannot be compared")
    if operator == "in":
        values = text.split(",")
        if len(values) > MOST_VALUES:
            raise unusable(f"a list has at most {MOST_VALUES} values")
        for number, value in enumerate(values):
            found.parameters[f"{name}_{number}"] = parameter(value, column.kind)
        bound = ", ".join(f"{{{name}_{number}:{column.kind}}}" for number in range(len(values)))
        return f"{quoted} IN ({bound})"
    found.parameters[name] = parameter(text, column.kind)
    value = f"{{{name}:{column.kind}}}"
    if operator in _TEXT:
        if column.kind != "String":
            raise unusable(f"column {column.name} is no text")
        return _TEXT[operator].format(column=quoted, value=value)
    if operator not in _COMPARISONS:
        raise Problem(HTTPStatus.BAD_REQUEST, "malformed-request", "there is no such operator")
    return f"{quoted} {_COMPARISONS[operator]} {value}"


def _another() -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "cursor", "this cursor belongs to another question")
