"""A dataset as one role sees it: columns with the types its view has, which of them can be filtered and ordered by."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headwater.contracts.clickhouse import table_columns, warehouse_tables
from headwater.contracts.model import Dataset
from headwater.policy.masks import masked
from headwater.policy.model import Mask, View

_WRAPPED = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)")
_ORDERED = ("String", "Int", "UInt", "Bool", "Date32", "DateTime64", "Decimal", "UUID")
_UNIQUE = (Mask.PLAIN, Mask.HASH)
"""Masks under which different keys stay different."""


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """One column of a role's view. `kind` is its ClickHouse type without Nullable and LowCardinality."""

    name: str
    kind: str
    nullable: bool
    mask: Mask
    description: str

    @property
    def comparable(self) -> bool:
        """Whether it can be compared and ordered: numbers that are exact, text, dates."""
        return self.kind.startswith(_ORDERED)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a role sees of a dataset. `key` is empty where the masks let different rows have the same key."""

    dataset: str
    table: str
    columns: dict[str, ShownColumn]
    key: tuple[str, ...]


def shape_of(dataset: Dataset, view: View) -> Shape:
    """The shape of a dataset that has a ClickHouse table, through this view."""
    table = warehouse_tables(dataset)[0]
    columns = {}
    for column in table_columns(dataset, table):
        mask = view.masks[column.name]
        _, kind = masked(column, mask, key=column.name in table.order_by)
        plain, nullable = _unwrapped(kind)
        columns[column.name] = ShownColumn(column.name, plain, nullable, mask, column.description)
    key = dataset.primary_key if table.database == "gold" else table.order_by
    whole = bool(key) and all(
        name in columns and columns[name].mask in _UNIQUE and columns[name].comparable for name in key
    )
    return Shape(dataset.name, view.table, columns, tuple(key) if whole else ())


def _unwrapped(kind: str) -> tuple[str, bool]:
    nullable = False
    while match := _WRAPPED.fullmatch(kind):
        nullable = nullable or kind.startswith("Nullable")
        kind = match[1]
    return kind, nullable
