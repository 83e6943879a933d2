"""ClickHouse: the DDL of a dataset's table in `gold` or `live`, and the statements that bring it up to the contract."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from headwater.contracts.layers import gold_columns, live_columns
from headwater.contracts.model import Column, Dataset, WarehouseTable
from headwater.contracts.types import Array, DataType, Decimal, Map, Primitive
from headwater.errors import ContractError

PRIMITIVES: dict[Primitive, str] = {
    Primitive.STRING: "String",
    Primitive.BOOLEAN: "Bool",
    Primitive.INT: "Int32",
    Primitive.LONG: "Int64",
    Primitive.FLOAT: "Float32",
    Primitive.DOUBLE: "Float64",
    # Date reaches only from 1970 to 2149; Date32 and DateTime64 from 1900 to 2299.
    Primitive.DATE: "Date32",
    Primitive.TIMESTAMP: "DateTime64(6, 'UTC')",
    Primitive.UUID: "UUID",
    Primitive.BINARY: "String",
}
LATEST_DATE = "2299-12-31"
"""The end of ClickHouse's calendar: what a load writes for the open end 9999-12-31 of a history."""

DEDUPLICATION_WINDOW = 1000
"""Insert tokens a table remembers, so that an insert whose answer was lost can be sent again."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One statement that changes a table, and whether it can lose data."""

    sql: str
    destroys: bool = False


def clickhouse_type(column: Column, key: bool = False) -> str:
    """A column's type: nullable unless required or part of the sorting key."""
    kind = column_type(column.type)
    if isinstance(column.type, Array | Map):
        return kind  # ClickHouse has no nullable collections: null arrives as an empty one
    if not column.required and not key:
        kind = f"Nullable({kind})"
    return f"LowCardinality({kind})" if column.low_cardinality else kind


def column_type(kind: DataType) -> str:
    """A contract's type in ClickHouse."""
    match kind:
        case Decimal(precision, scale):
            return f"Decimal({precision}, {scale})"
        case Array(element):
            return f"Array({_nested(element)})"
        case Map(value):
            return f"Map(String, {_nested(value)})"
        case _:
            return PRIMITIVES[kind]


def _nested(kind: DataType) -> str:
    inner = column_type(kind)
    return inner if isinstance(kind, Array | Map) else f"Nullable({inner})"


def table_columns(dataset: Dataset, table: WarehouseTable) -> tuple[Column, ...]:
    """Columns of that ClickHouse table, in order."""
    return gold_columns(dataset) if table.database == "gold" else live_columns(dataset)


def warehouse_tables(dataset: Dataset) -> tuple[WarehouseTable, ...]:
    """The dataset's ClickHouse tables: none, `gold`, or `live`."""
    return tuple(t for t in (dataset.warehouse, dataset.live) if t is not None)


def create_table_sql(dataset: Dataset, table: WarehouseTable | None = None, *, name: str | None = None) -> str:
    """`CREATE TABLE IF NOT EXISTS` for the dataset's table (`gold` by default); `name` makes a twin for staging.

    Raises `ContractError` where the contract declares no such table.
    """
    table = table or dataset.warehouse or dataset.live
    if table is None:
        raise ContractError(f"dataset {dataset.name} has no ClickHouse table", where=str(dataset.path))
    lines = [_definition(c, table) for c in table_columns(dataset, table)]
    parts = [
        f"CREATE TABLE IF NOT EXISTS {table.database}.{name or dataset.name}\n(\n    " + ",\n    ".join(lines) + "\n)",
        f"ENGINE = {table.engine}",
        f"PARTITION BY {table.partition_by}" if table.partition_by else "",
        f"ORDER BY ({', '.join(table.order_by)})",
        f"TTL toDateTime(_ingested_at) + INTERVAL {table.ttl_days} DAY" if table.ttl_days else "",
        f"SETTINGS non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}",
        f"COMMENT {_string(dataset.description)}",
    ]
    return "\n".join(p for p in parts if p)


def _definition(column: Column, table: WarehouseTable) -> str:
    text = f"{column.name} {clickhouse_type(column, column.name in table.order_by)}"
    if column.description:
        text += f" COMMENT {_string(column.description)}"
    return f"{text} CODEC({column.codec})" if column.codec else text


def migrations(
    dataset: Dataset, table: WarehouseTable, current: Mapping[str, str], sorting_key: str, partition_key: str
) -> list[Migration]:
    """Statements that turn the table as it is into the contract's.

    `current` maps the table's columns to their types, `sorting_key` and `partition_key` come from system.tables.
    A new sorting key or partition cannot be altered: the table is dropped and loaded again from the lake.
    """
    name = f"{table.database}.{dataset.name}"
    wanted = {c.name: c for c in table_columns(dataset, table)}
    if _squeeze(sorting_key) != _squeeze(", ".join(table.order_by)) or _squeeze(partition_key) != _squeeze(
        table.partition_by or ""
    ):
        return [Migration(f"DROP TABLE {name}", destroys=True), Migration(create_table_sql(dataset, table))]
    found: list[Migration] = []
    after = "FIRST"
    for column in wanted.values():
        kind = clickhouse_type(column, column.name in table.order_by)
        if column.name not in current:
            found.append(Migration(f"ALTER TABLE {name} ADD COLUMN {_definition(column, table)} {after}"))
        elif _squeeze(current[column.name]) != _squeeze(kind):
            destroys = not widens(current[column.name], kind)
            found.append(Migration(f"ALTER TABLE {name} MODIFY COLUMN {column.name} {kind}", destroys))
        after = f"AFTER {column.name}"
    gone = [c for c in current if c not in wanted]
    return found + [Migration(f"ALTER TABLE {name} DROP COLUMN {c}", destroys=True) for c in gone]


_ORDER = [("Int32", "Int64"), ("Float32", "Float64"), ("Int32", "Float64"), ("Date32", "DateTime64(6,'UTC')")]
_DECIMAL = re.compile(r"Decimal\((\d+),(\d+)\)")


def widens(old: str, new: str) -> bool:
    """Whether every value of the old type has its place in the new one."""
    old, new = _squeeze(old), _squeeze(new)
    if old.startswith("LowCardinality("):
        old = old.removeprefix("LowCardinality(")[:-1]
    if new.startswith("LowCardinality("):
        new = new.removeprefix("LowCardinality(")[:-1]
    if old.startswith("Nullable(") and not new.startswith("Nullable("):
        return False
    old, new = (t.removeprefix("Nullable(")[:-1] if t.startswith("Nullable(") else t for t in (old, new))
    if (a := _DECIMAL.fullmatch(old)) and (b := _DECIMAL.fullmatch(new)):
        return int(b[2]) >= int(a[2]) and int(b[1]) - int(b[2]) >= int(a[1]) - int(a[2])
    return old == new or (old, new) in _ORDER


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text).strip("()") if text.startswith("(") else re.sub(r"\s+", "", text)


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
