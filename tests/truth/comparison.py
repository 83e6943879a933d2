"""Compare two tables row by row, and say where they differ."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

SHOWN = 10


def differences(actual: pa.Table, expected: pa.Table, key: Sequence[str]) -> list[str]:
    """What is different, a sentence each; empty where both hold the same rows. Nulls equal nulls.

    `actual` is brought to the types of `expected` first (an engine's own integers, dictionaries, time zones); a value
    that does not fit raises, and a cent that is cut off counts as a difference, because decimals are never rescaled.
    """
    if actual.column_names != expected.column_names:
        return [f"columns are {actual.column_names}, expected {expected.column_names}"]
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.register("a", _as(actual, expected.schema))
    db.register("e", expected)
    found = _repeated(db, "a", "actual", key) + _repeated(db, "e", "expected", key)
    on = " AND ".join(f'a."{k}" IS NOT DISTINCT FROM e."{k}"' for k in key)
    found += _one_sided(db, on, key)
    for column in expected.column_names:
        found += _unequal(db, on, column, key)
    return found


def compare(actual: pa.Table, expected: pa.Table, key: Sequence[str]) -> None:
    """Raise `AssertionError` that lists the differences, if there are any."""
    if found := differences(actual, expected, key):
        raise AssertionError("\n".join(found))


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return pa.table({field.name: _column(table[field.name], field.type) for field in schema})


def _column(values: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_timestamp(values.type) and pa.types.is_timestamp(wanted):
        # UTC in both; one engine says so and the other does not.
        values = values.cast(pa.timestamp("us", values.type.tz)).cast(pa.timestamp("us"))
    if pa.types.is_binary(values.type):
        values = values.cast(pa.string())
    if _family(values.type) != _family(wanted):
        raise TypeError(f"values came as {values.type}, expected {wanted}")
    return values.cast(wanted)


def _family(kind: pa.DataType) -> str:
    """Types between which nothing is lost but size. Without this a date would be compared as text, money as float."""
    for name, belongs in _FAMILIES.items():
        if belongs(kind):
            return name
    return str(kind)


_FAMILIES = {
    "text": lambda t: pa.types.is_string(t) or pa.types.is_large_string(t),
    "integer": pa.types.is_integer,
    "decimal": pa.types.is_decimal,
    "date": pa.types.is_date,
    "timestamp": pa.types.is_timestamp,
}


def _repeated(db: duckdb.DuckDBPyConnection, table: str, called: str, key: Sequence[str]) -> list[str]:
    keys = ", ".join(f'"{k}"' for k in key)
    rows = db.execute(f"SELECT {keys}, count(*) FROM {table} GROUP BY ALL HAVING count(*) > 1 LIMIT {SHOWN}").fetchall()
    return [f"{called} has {row[-1]} rows of {_named(key, row)}" for row in rows]


def _one_sided(db: duckdb.DuckDBPyConnection, on: str, key: Sequence[str]) -> list[str]:
    found = []
    for left, right, said in (("a", "e", "not expected"), ("e", "a", "missing")):
        keys = ", ".join(f'{left}."{k}"' for k in key)
        anti = f"FROM {left} ANTI JOIN {right} ON {on}"
        [(count,)] = db.execute(f"SELECT count(*) {anti}").fetchall()
        if count:
            rows = db.execute(f"SELECT {keys} {anti} LIMIT {SHOWN}").fetchall()
            found.append(f"{count} rows {said}, such as " + "; ".join(_named(key, row) for row in rows))
    return found


def _unequal(db: duckdb.DuckDBPyConnection, on: str, column: str, key: Sequence[str]) -> list[str]:
    keys = ", ".join(f'e."{k}"' for k in key)
    joined = f'FROM a JOIN e ON {on} WHERE a."{column}" IS DISTINCT FROM e."{column}"'
    [(count,)] = db.execute(f"SELECT count(*) {joined}").fetchall()
    if not count:
        return []
    rows = db.execute(f'SELECT {keys}, a."{column}", e."{column}" {joined} LIMIT {SHOWN}').fetchall()
    shown = "; ".join(f"{_named(key, row)}: {row[-2]!r}, expected {row[-1]!r}" for row in rows)
    return [f"{column} differs in {count} rows: {shown}"]


def _named(key: Sequence[str], row: Sequence[object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(key, row, strict=False))
