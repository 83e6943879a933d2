"""The types a contract can speak of, with no engine in them.

A contract's `physicalType` is one of these, written as in SQL: `long`, `decimal(10,2)`, `map<string,string>`,
`array<long>`. Each target module (avro, iceberg, clickhouse, quality) holds one table from these to its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from headwater.errors import ContractError


class Primitive(StrEnum):
    """Types without parameters. `timestamp` is an instant in UTC with microseconds."""

    STRING = "string"
    BOOLEAN = "boolean"
    INT = "int"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    DATE = "date"
    TIMESTAMP = "timestamp"
    UUID = "uuid"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Decimal:
    """A number with a fixed scale; money is `decimal(p,2)`."""

    precision: int
    scale: int

    def __str__(self) -> str:
        return f"decimal({self.precision},{self.scale})"


@dataclass(frozen=True, slots=True)
class Array:
    """A list whose elements may be null."""

    element: DataType

    def __str__(self) -> str:
        return f"array<{self.element}>"


@dataclass(frozen=True, slots=True)
class Map:
    """String keys to values that may be null (Avro and JSON know no other keys)."""

    value: DataType

    def __str__(self) -> str:
        return f"map<string,{self.value}>"


DataType = Primitive | Decimal | Array | Map

_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_ARRAY = re.compile(r"array<(.+)>")
_MAP = re.compile(r"map<string,\s*(.+)>")
MAX_DECIMAL_PRECISION = 38


def parse_type(text: str) -> DataType:
    """Read a type as a contract writes it. Raises `ContractError` for a type that is not known."""
    text = text.strip()
    if text in set(Primitive):
        return Primitive(text)
    if match := _DECIMAL.fullmatch(text):
        precision, scale = int(match[1]), int(match[2])
        if not 0 < precision <= MAX_DECIMAL_PRECISION or scale > precision:
            what = f"{text}: precision is 1 to {MAX_DECIMAL_PRECISION}, scale no more than precision"
            raise ContractError(what, remedy="money is decimal(10,2)")
        return Decimal(precision, scale)
    if match := _ARRAY.fullmatch(text):
        return Array(parse_type(match[1]))
    if match := _MAP.fullmatch(text):
        return Map(parse_type(match[1]))
    known = ", ".join(Primitive)
    raise ContractError(
        f"unknown type '{text}'", remedy=f"use one of {known}, decimal(p,s), array<type>, map<string,type>"
    )
