"""Truncates of a captured table: every key that was there before one is gone.

A truncate is one record without a key, so it lies in any partition of the topic, and the stream may come to it before
it comes to older records of other partitions. Therefore silver remembers the truncates it has read, by their place in
the source's log, in the summary of each of its commits (`headwater.truncated.<table>`): a row from before one is
deleted by it, whenever the row arrives. The newest `REMEMBERED` are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pyiceberg.table import Table
from pyspark.sql import DataFrame

from headwater.contracts.layers import (
    COMMITTED_AT,
    ERROR,
    INGESTED_AT,
    LSN,
    OFFSET,
    OPERATION,
    PARTITION,
    PRIOR_COMMIT,
    TOPIC,
)
from headwater.contracts.model import Dataset
from headwater.lake.bounds import literal
from headwater.lake.conform import IS_DELETED, quoted
from headwater.lake.snapshots import nearest_properties

TRUNCATED_PREFIX = "headwater.truncated."
REMEMBERED = 100
TRUNCATE = "truncate"

_COLUMNS = {
    PRIOR_COMMIT: "prior_commit",
    LSN: "lsn",
    COMMITTED_AT: "committed_at",
    INGESTED_AT: "ingested_at",
    TOPIC: "topic",
    PARTITION: "partition",
    OFFSET: "offset",
}
"""Columns of a row that a truncate has deleted, and what they take from the truncate."""


@dataclass(frozen=True, slots=True, order=True)
class Truncate:
    """One truncate; they are ordered as they were committed."""

    prior_commit: int
    lsn: int
    committed_at: datetime
    ingested_at: datetime
    topic: str
    partition: int
    offset: int


def read_truncates(bronze: DataFrame) -> list[Truncate]:
    """Those among rows of bronze. A repeat counts once."""
    rows = bronze.where(f"{OPERATION} = '{TRUNCATE}' AND {ERROR} IS NULL").selectExpr(*_COLUMNS).collect()
    return joined([], [_truncate({k: _utc(row[name]) for name, k in _COLUMNS.items()}) for row in rows])


def remembered(silver: Table, input_name: str) -> list[Truncate]:
    """Those that silver has read."""
    key = f"{TRUNCATED_PREFIX}{input_name}"
    told = json.loads(nearest_properties(silver, key).get(key, "[]"))
    return sorted(_truncate({k: _time(v) if k.endswith("_at") else v for k, v in one.items()}) for one in told)


def truncate_properties(input_name: str, known: Sequence[Truncate]) -> dict[str, str]:
    """The summary key by which silver remembers these; none where there are none."""
    if not known:
        return {}
    told = [asdict(one) for one in sorted(known)[-REMEMBERED:]]
    return {f"{TRUNCATED_PREFIX}{input_name}": json.dumps(told, default=datetime.isoformat, separators=(",", ":"))}


def joined(known: Sequence[Truncate], more: Sequence[Truncate]) -> list[Truncate]:
    """All of them, each once."""
    return sorted({(one.prior_commit, one.lsn): one for one in (*more, *known)}.values())


def alive_before(rows: DataFrame, truncates: Sequence[Truncate]) -> DataFrame:
    """Rows that are not deleted, and that stand before one of the truncates."""
    return rows.where(f"NOT {IS_DELETED} AND {_next(truncates)} IS NOT NULL")


def buried(rows: DataFrame, truncates: Sequence[Truncate]) -> DataFrame:
    """The rows; those from before a truncate as what it left of them: deleted, with its place in the log.

    `rows` has one per key.
    """
    if not truncates:
        return rows
    marked = rows.selectExpr("*", f"if({IS_DELETED}, NULL, {_next(truncates)}) AS _truncate")
    return marked.selectExpr(*(_taken(name) for name in rows.columns))


def with_burials(rows: DataFrame, dataset: Dataset, truncates: Sequence[Truncate]) -> DataFrame:
    """The rows, any number per key, and a deleted one behind the last of a key before each truncate."""
    if not truncates:
        return rows
    key, place = ", ".join(quoted(dataset.primary_key)), f"struct({PRIOR_COMMIT}, {LSN})"
    following = f"lead({place}) OVER (PARTITION BY {key} ORDER BY {PRIOR_COMMIT}, {LSN}, {OFFSET})"
    marked = rows.selectExpr("*", f"if({IS_DELETED}, NULL, {_next(truncates)}) AS _truncate", f"{following} AS _next")
    last = "_next IS NULL OR _next > struct(_truncate.prior_commit, _truncate.lsn)"
    dead = marked.where(f"_truncate IS NOT NULL AND ({last})").selectExpr(*(_taken(name) for name in rows.columns))
    return rows.unionByName(dead)


def _next(truncates: Sequence[Truncate]) -> str:
    """Spark SQL: the first of the truncates that stands behind a row, as a struct; null where none does."""
    told = ", ".join(_struct(one) for one in sorted(truncates))
    behind = f"t -> struct(t.prior_commit, t.lsn) > struct({PRIOR_COMMIT}, {LSN})"
    return f"get(filter(array({told}), {behind}), 0)"


def _struct(one: Truncate) -> str:
    longs = {"prior_commit", "lsn", "offset"}
    parts = (f"'{k}', {literal(v)}{'L' if k in longs else ''}" for k, v in asdict(one).items())
    return f"named_struct({', '.join(parts)})"


def _taken(name: str) -> str:
    """A column of what a truncate left of a row."""
    if name == IS_DELETED:
        return f"{IS_DELETED} OR _truncate IS NOT NULL AS {IS_DELETED}"
    if name == OPERATION:
        return f"if(_truncate IS NULL, {OPERATION}, '{TRUNCATE}') AS {OPERATION}"
    if name in _COLUMNS:
        return f"if(_truncate IS NULL, {name}, _truncate.{_COLUMNS[name]}) AS {name}"
    return f"`{name}`"


def _truncate(told: Mapping[str, Any]) -> Truncate:
    return Truncate(**told)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _utc(value: Any) -> Any:
    """Spark gives a time without a zone, in the session's, which is UTC."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
