"""Rows of bronze as rows of a live table: derived columns added, unreadable and refused ones left out.

The contract's expressions are Spark SQL; DuckDB evaluates them on Arrow, translated by sqlglot, so that the follower
needs no Spark and every row is judged as silver judges it.
"""

from __future__ import annotations

import threading

import duckdb
import pyarrow as pa
import sqlglot
from pyiceberg.table import Table

from headwater.contracts.layers import ERROR, bronze_columns, live_columns
from headwater.contracts.model import Dataset
from headwater.contracts.quality import accepts


class LiveRows:
    """Turns batches of one dataset. May be called from several threads."""

    def __init__(self, dataset: Dataset) -> None:
        self._names = [column.name for column in live_columns(dataset)]
        self._needed = {column.name for column in bronze_columns(dataset)} & {*self._names, ERROR}
        derived = "".join(f", {duck(c.derived)} AS {c.name}" for c in dataset.columns if c.derived is not None)
        chosen = ", ".join(self._names)
        # Names and expressions come from the contract, which is reviewed code; no value of a row is part of the text.
        self._sql = (
            f"SELECT {chosen} FROM (SELECT *{derived} FROM batch WHERE {ERROR} IS NULL) WHERE {duck(accepts(dataset))}"  # noqa: S608
        )
        self._connection = duckdb.connect(config={"threads": 1})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._turn = threading.Lock()

    def needed(self, table: Table) -> tuple[str, ...]:
        """Columns of bronze that are read."""
        return tuple(name for name in table.schema().column_names if name in self._needed)

    def accepted(self, batch: pa.RecordBatch) -> pa.Table:
        """The rows for the live table, in its columns."""
        with self._turn:
            self._connection.register("batch", pa.Table.from_batches([batch]))
            return self._connection.sql(self._sql).to_arrow_table()


def duck(expression: str) -> str:
    """A Spark SQL expression in DuckDB's dialect."""
    return sqlglot.transpile(expression, read="spark", write="duckdb")[0]
