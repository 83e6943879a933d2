"""Rows of bronze as rows of a live table: cleansed, derived columns added, unreadable and refused ones left out.

DuckDB evaluates the contract's expressions on Arrow (see `judgement`), so that the follower needs no Spark.
"""

from __future__ import annotations

import threading

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from headwater.contracts.layers import ERROR, OFFSET, bronze_columns, live_columns
from headwater.contracts.model import Dataset
from headwater.contracts.quality import accepts
from headwater.streaming.judgement import conformed, duck


class LiveRows:
    """Turns batches of one dataset. May be called from several threads."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._needed = {c.name for c in bronze_columns(dataset)} & {*(c.name for c in live_columns(dataset)), ERROR}
        self._connection = duckdb.connect(config={"threads": 1})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._turn = threading.Lock()
        self._queries: dict[tuple[str, ...], str] = {}

    def needed(self, table: Table) -> tuple[str, ...]:
        """Columns of bronze that are read."""
        return tuple(name for name in table.schema().column_names if name in self._needed)

    def accepted(self, batch: pa.RecordBatch) -> pa.Table:
        """The rows for the live table, in its columns and in the order of the log.

        The order matters where a batch has two rows of one key: they arrived at the same time, and of those ClickHouse
        keeps the last.
        """
        with self._turn:
            self._connection.register("batch", pa.Table.from_batches([batch]))
            return self._connection.sql(self._query(tuple(batch.schema.names))).to_arrow_table()

    def _query(self, present: tuple[str, ...]) -> str:
        if present not in self._queries:
            self._queries[present] = _query(self._dataset, present)
        return self._queries[present]


def _query(dataset: Dataset, present: tuple[str, ...]) -> str:
    """DuckDB's SQL over rows of bronze with these columns, named `batch`."""
    conditions = [accepts(dataset), *(f"`{name}` IS NOT NULL" for name in dataset.primary_key)]
    chosen = ", ".join(f"`{column.name}`" for column in live_columns(dataset))
    rows = f"({conformed(dataset, present)})"
    return duck(f"SELECT {chosen} FROM {rows} WHERE {' AND '.join(conditions)} ORDER BY {OFFSET}")  # noqa: S608
