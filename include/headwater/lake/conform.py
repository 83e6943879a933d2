"""From bronze's columns to silver's, row by row: cleanse, type, derive, judge. All of it comes from the contract.

Text is trimmed and an empty text becomes null; a column bronze does not have yet is null; derived columns are
computed in the contract's order; the error rules a row breaks are listed by name in `_rule`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, functions

from headwater.contracts.cleansing import cleansed, typed
from headwater.contracts.layers import (
    ATTEMPT,
    ERROR,
    INGESTED_AT,
    LSN,
    OFFSET,
    OPERATION,
    PARTITION,
    PRIOR_COMMIT,
    RULE,
    TOPIC,
    TOPIC_ID,
)
from headwater.contracts.model import Dataset, Kind
from headwater.contracts.quality import broken_rules, error_rules
from headwater.contracts.types import Array, DataType, Map

IS_DELETED = "_is_deleted"
ACCEPTED_ROW = f"size({RULE.name}) = 0"
"""Condition over conformed rows: no error rule is broken."""
LOG_ORDER = (PRIOR_COMMIT, LSN)
"""The order in which the changes of a captured table were committed.

`_lsn` alone is where a change was written, which may be long before its commit: a row of an incremental snapshot, read
in between, is older although that place was passed already (and it has no `_lsn` of its own). The last commit before a
record tells them apart.
"""
POSITION = {
    Kind.STREAM: (OFFSET, PARTITION),
    Kind.TABLE: (INGESTED_AT,),
    Kind.CAPTURE: (*LOG_ORDER, OFFSET),
    Kind.FILES: (INGESTED_AT,),
}
"""What decides between two rows that the contract's order leaves equal."""
WITHOUT_A_ROW = f"{OPERATION} IN ('tombstone', 'truncate')"
"""Condition over a capture's bronze: the row says something about the table, or about Kafka, not about one row."""


def conform(bronze: DataFrame, dataset: Dataset) -> DataFrame:
    """Bronze rows as silver's: the contract's columns, bronze's provenance, `_is_deleted` and `_rule`.

    Rows that could not be read (`_error`) are left out, and of a capture what is about no single row.
    """
    readable = bronze.where(f"{ERROR} IS NULL") if dataset.streamed else bronze
    if dataset.captured:
        readable = readable.where(f"NOT ({WITHOUT_A_ROW})")
    provenance = [f"`{name}`" for name in readable.columns if name.startswith("_")]
    own = [cleansed(column, readable.columns) for column in dataset.source_columns]
    deleted = f"{OPERATION} = 'delete'" if dataset.kind in (Kind.TABLE, Kind.CAPTURE) else "false"
    frame = readable.selectExpr(*own, *provenance, f"{deleted} AS {IS_DELETED}")
    for column in dataset.columns:
        if column.derived is not None:
            frame = frame.selectExpr("*", f"{typed(f'({column.derived})', column)} AS `{column.name}`")
    return frame.selectExpr("*", f"{_broken_rules(dataset)} AS {RULE.name}")


def highest_attempts(conformed: DataFrame) -> DataFrame:
    """Of the rows from one place (topic, partition, offset) the one with the highest `_attempt`.

    A topic that was created again has another id, and other records at the same offsets.
    """
    place = [name for name in (TOPIC, TOPIC_ID, PARTITION, OFFSET) if name in conformed.columns]
    return first_of(conformed, ", ".join(place), f"{ATTEMPT} DESC")


def standing(some: DataFrame, bronze: DataFrame) -> DataFrame:
    """Those of `some` rows of bronze that no later attempt in all of it has replaced.

    A replay may have mended the very time by which the rows were picked. By the bounds of `_attempt` Iceberg reads only
    files that hold replayed rows.
    """
    if ATTEMPT not in bronze.columns:
        return some
    place = [name for name in (TOPIC, TOPIC_ID, PARTITION, OFFSET) if name in bronze.columns]
    later = bronze.where(f"{ATTEMPT} > 0").selectExpr(*(f"{name} AS later{name}" for name in (*place, ATTEMPT)))
    same = " AND ".join(f"{name} <=> later{name}" for name in place)
    return some.join(later, functions.expr(f"{same} AND later{ATTEMPT} > {ATTEMPT}"), "left_anti")


def newest_per_key(conformed: DataFrame, dataset: Dataset) -> DataFrame:
    """Of the rows of a key the newest, as the contract orders them, then by position.

    The rows are spread first: otherwise Spark sorts them before the shuffle as well, to drop repeats early, which
    hardly any are. Where the table's partition is part of the key, they are spread by it, so that a task writes whole
    partitions.
    """
    spread = spread_columns(dataset)
    key = list(dict.fromkeys((*spread, *dataset.primary_key)))
    frame = conformed.repartition(*(spread or key))
    return first_of(frame, ", ".join(quoted(key)), newest_first(dataset))


def spread_columns(dataset: Dataset) -> tuple[str, ...]:
    """The columns that are both the key's and, as they are, the partition of silver."""
    identity = [p.column for p in dataset.partition_by if p.transform == "identity"]
    whole = len(identity) == len(dataset.partition_by) and set(identity) <= set(dataset.primary_key)
    return tuple(identity) if whole else ()


def first_of(frame: DataFrame, partition: str, order: str) -> DataFrame:
    """The first row by `order` (a SQL list) of each combination of `partition` (a SQL list)."""
    ranked = frame.selectExpr("*", f"row_number() OVER (PARTITION BY {partition} ORDER BY {order}) AS _rank")
    return ranked.where("_rank = 1").drop("_rank")


def order_columns(dataset: Dataset) -> tuple[str, ...]:
    """Silver's columns that decide which row of a key is newer, most significant first.

    A source table is read whole, so what was read later is what it says now, even with an older time: a restored
    backup has put the row back. Events and files may come in any order; there the contract's order comes first.
    """
    declared, place = dataset.order_by_newest, POSITION[dataset.kind]
    return tuple(dict.fromkeys((*place, *declared) if dataset.kind is Kind.TABLE else (*declared, *place)))


def newest_first(dataset: Dataset) -> str:
    """A SQL ORDER BY list over bronze's rows with the newest first; of one place the highest attempt."""
    columns = order_columns(dataset) + ((ATTEMPT,) if dataset.streamed else ())
    return ", ".join(f"{name} DESC NULLS LAST" for name in quoted(columns))


def order_struct(dataset: Dataset, alias: str = "") -> str:
    """A SQL struct that compares as the order of newness does (nulls smallest)."""
    prefix = f"{alias}." if alias else ""
    return "struct(" + ", ".join(f"{prefix}{name}" for name in quoted(order_columns(dataset))) + ")"


def comparable(expression: str, kind: DataType, depth: int = 0) -> str:
    """The expression in a form that Spark can compare and hash: a map as its entries by key, at whatever depth."""
    entry = f"e{depth}"
    match kind:
        case Map():
            value = comparable(f"{entry}.value", kind.value, depth + 1)
            return f"array_sort(transform(map_entries({expression}), {entry} -> struct({entry}.key, {value} AS value)))"
        case Array():
            element = comparable(entry, kind.element, depth + 1)
            return expression if element == entry else f"transform({expression}, {entry} -> {element})"
    return expression


def keyed_row(dataset: Dataset) -> str:
    """Condition over conformed rows: no part of the key is null."""
    return " AND ".join(f"{name} IS NOT NULL" for name in quoted(dataset.primary_key))


def quoted(names: Sequence[str]) -> list[str]:
    """Names in back-ticks."""
    return [f"`{name}`" for name in names]


def _broken_rules(dataset: Dataset) -> str:
    """Names of the broken rules as an array. What a delete says of the row is its last value, long since judged."""
    return f"if({IS_DELETED}, {broken_rules(())}, {broken_rules(error_rules(dataset))})"
