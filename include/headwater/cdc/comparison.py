r"""One row as text, in Postgres's SQL and in DuckDB's, so that both hash the same row to the same number.

The source is asked for what silver would make of its values: text is trimmed and empty text is null, as silver
cleanses it. Floating point goes by its bits, times by microseconds, dates by days, so that no engine's way of writing
them counts. A row is the values with `|` between, escaped, null as `\N`; its hash the first 60 bits of MD5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headwater.contracts.model import Column, Dataset
from headwater.contracts.types import Array, Decimal, Map, Primitive
from headwater.streaming.changes import source_field

_SPACE = r"E' \t\r\n'"
_EPOCH = "DATE '1970-01-01'"
NULL = r"'\N'"


@dataclass(frozen=True, slots=True)
class Compared:
    """The columns of a dataset that are compared, and what each is called in the source.

    `without` are those that cannot be: the source does not have them, or they are lists or maps.
    """

    dataset: Dataset
    columns: tuple[tuple[Column, str], ...]
    without: tuple[str, ...]

    @property
    def key(self) -> tuple[tuple[Column, str], ...]:
        """The key's columns."""
        return tuple((column, name) for column, name in self.columns if column.primary_key)

    @property
    def names(self) -> tuple[str, ...]:
        """What silver calls the columns."""
        return tuple(column.name for column, _ in self.columns)


def compared(dataset: Dataset, present: Iterable[str]) -> Compared:
    """What can be compared where the source's table has the columns `present`."""
    there = dict.fromkeys(present)
    found = [(column, source_field(column, there)) for column in dataset.source_columns]
    usable = tuple((c, name) for c, name in found if name is not None and not isinstance(c.type, Array | Map))
    kept = {column.name for column, _ in usable}
    return Compared(dataset, usable, tuple(c.name for c in dataset.source_columns if c.name not in kept))


def postgres_hash(columns: Sequence[tuple[Column, str]]) -> str:
    """The row's hash in Postgres, a bigint."""
    row = _joined([(postgres_text(c, identifier(name)), c) for c, name in columns])
    return f"('x' || substr(md5({row}), 1, 15))::bit(60)::bigint"


def duckdb_hash(columns: Sequence[tuple[Column, str]]) -> str:
    """The same in DuckDB, from silver's columns (floating point as the integers of its bits)."""
    row = _joined([(duckdb_text(c, identifier(c.name)), c) for c, _ in columns])
    return f"('0x' || substr(md5({row}), 1, 15))::BIGINT"


def postgres_key(column: Column, name: str) -> str:
    """A part of the key in Postgres, as it is ordered and told: a number, or text by its bytes."""
    value = identifier(name)
    if column.type in (Primitive.INT, Primitive.LONG):
        return value
    if isinstance(column.type, Decimal):
        return f"{value}::numeric"
    if column.type in (Primitive.DATE, Primitive.TIMESTAMP):
        return f"({postgres_text(column, value)})::bigint"
    return f'({postgres_text(column, value)}) COLLATE "C"'


def duckdb_key(column: Column) -> str:
    """The same in DuckDB."""
    value = identifier(column.name)
    if column.type in (Primitive.INT, Primitive.LONG) or isinstance(column.type, Decimal):
        return value
    text = duckdb_text(column, value)
    return f"({text})::BIGINT" if column.type in (Primitive.DATE, Primitive.TIMESTAMP) else text


def postgres_text(column: Column, value: str) -> str:
    """A value of the source as silver's value would be written."""
    match column.type:
        case Decimal(scale=scale):
            exact = f"trim_scale(({value})::numeric)"
            return f"round({exact}, greatest({scale}, scale({exact})))::text"
        case Primitive.INT | Primitive.LONG:
            return f"({value})::bigint::text"
        case Primitive.FLOAT:
            return f"('x' || encode(float4send(({value})::float4), 'hex'))::bit(32)::int::text"
        case Primitive.DOUBLE:
            return f"('x' || encode(float8send(({value})::float8), 'hex'))::bit(64)::bigint::text"
        case Primitive.BOOLEAN:
            return f"({value})::boolean::text"
        case Primitive.DATE:
            return f"CASE WHEN isfinite(({value})::date) THEN (({value})::date - {_EPOCH})::text END"
        case Primitive.TIMESTAMP:
            micros = f"(extract(epoch FROM {value}) * 1000000)::bigint::text"
            return f"CASE WHEN isfinite({value}) THEN {micros} END"
        case Primitive.BINARY:
            return f"encode(({value})::bytea, 'hex')"
        case Primitive.UUID:
            return f"lower(({value})::text)"
    return f"nullif(btrim(({value})::text, {_SPACE}), '')"


def duckdb_text(column: Column, value: str) -> str:
    """A value of silver, written in the same way."""
    match column.type:
        case Primitive.DATE:
            return f"({value} - {_EPOCH})::VARCHAR"
        case Primitive.TIMESTAMP:
            return f"epoch_us({value})::VARCHAR"
        case Primitive.BINARY:
            return f"lower(hex({value}))"
        case Primitive.UUID:
            return f"lower({value})"
    return f"({value})::VARCHAR"


def identifier(name: str) -> str:
    """A name in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def _joined(values: Iterable[tuple[str, Column]]) -> str:
    parts = []
    for text, column in values:
        escaped = text
        if column.type is Primitive.STRING:
            escaped = rf"replace(replace({text}, '\', '\\'), '|', '\|')"
        parts.append(f"coalesce({escaped}, {NULL})")
    return " || '|' || ".join(parts)
