"""From Iceberg's Arrow batches to what ClickHouse takes: columns in the contract's order, times within its calendar.

Raises `LoadRefused` for a null in a column that the contract requires: ClickHouse would store a zero in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts.clickhouse import LATEST_DATE
from headwater.contracts.model import Column
from headwater.contracts.types import Array, Map, Primitive
from headwater.errors import TerminalError

ROWS_PER_INSERT = 500_000
"""One insert makes one part per partition; bigger ones cost memory and gain nothing."""

_LATEST = date.fromisoformat(LATEST_DATE)
_LATEST_INSTANT = datetime(_LATEST.year, _LATEST.month, _LATEST.day, tzinfo=UTC)


class LoadRefused(TerminalError):
    """Rows of the lake do not fit the warehouse's table."""


def for_clickhouse(batch: pa.Table, columns: tuple[Column, ...], where: str) -> pa.Table:
    """The batch with exactly `columns`; dates after 2299-12-31 (open ends) become that day."""
    arrays = []
    for column in columns:
        values = batch.column(column.name)
        if column.required and values.null_count:
            raise LoadRefused(
                f"{values.null_count} rows have no {column.name}, which the contract requires",
                where=where,
                remedy="make the column optional in the contract, or correct the model",
            )
        arrays.append(_within_calendar(values, column))
    return pa.table(arrays, names=[column.name for column in columns])


def chunks(batches: Iterator[pa.RecordBatch], rows: int = ROWS_PER_INSERT) -> Iterator[pa.Table]:
    """Batches put together to tables of about `rows` rows; nothing where there are none."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows:
            held.append(batch)
        if sum(b.num_rows for b in held) >= rows:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _within_calendar(values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    if isinstance(column.type, Array | Map):
        return values
    if column.type is Primitive.DATE:
        latest = pa.scalar(_LATEST, pa.date32())
    elif column.type is Primitive.TIMESTAMP:
        latest = pa.scalar(_LATEST_INSTANT, values.type)
    else:
        return values
    # A null compares as null, which if_else would pass on; it is kept, since the value it stands for is null too.
    return cast("pa.ChunkedArray", pc.if_else(pc.greater(values, latest), latest, values))
