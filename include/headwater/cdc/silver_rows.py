"""Silver's rows of a captured table as keys and hashes, in a DuckDB file of its own: read once, asked per range."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow

from headwater.cdc.comparison import Compared, duckdb_hash, duckdb_key
from headwater.contracts.types import Primitive
from headwater.lake.batches import file_batches
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings

BITS = {Primitive.FLOAT: pa.int32(), Primitive.DOUBLE: pa.int64()}
"""Floating point is compared by its bits, as integers of the same width."""
MEMORY = "512MB"


class SilverRows:
    """The rows that silver has now: of a history the open versions, and never a deleted one. A context manager."""

    def __init__(self, settings: Settings, columns: Compared) -> None:
        self._columns = columns
        settings.home.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="verify-", dir=settings.home)
        self._duck = duckdb.connect(str(Path(self._folder.name) / "rows.duckdb"))
        self._duck.execute(f"SET memory_limit = '{MEMORY}'")
        self._duck.execute("SET TimeZone = 'UTC'")
        self._keys = [f"k{number}" for number in range(len(columns.key))]

    def __enter__(self) -> Self:
        self._load()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._duck.close()
        self._folder.cleanup()

    def _load(self) -> None:
        dataset = self._columns.dataset
        table = get_catalog().load_table(f"silver.{dataset.name}")
        kept = "is_current = true" if dataset.history else "_is_deleted = false"
        scan = table.scan(row_filter=kept, selected_fields=self._columns.names)
        empty = schema_to_pyarrow(scan.projection(), include_field_ids=False).empty_table()
        picked = ", ".join(
            f"{duckdb_key(column)} AS {name}" for (column, _), name in zip(self._columns.key, self._keys, strict=True)
        )
        query = f"SELECT {picked}, {duckdb_hash(self._columns.columns)} AS h FROM batch"  # noqa: S608
        self._duck.register("batch", self._plain(empty))
        self._duck.execute(f"CREATE TABLE rows AS {query}")
        for _, batch in file_batches(scan):
            self._duck.register("batch", self._plain(pa.Table.from_batches([batch])))
            self._duck.execute(f"INSERT INTO rows {query}")

    def _plain(self, rows: pa.Table) -> pa.Table:
        for column, _ in self._columns.columns:
            if isinstance(column.type, Primitive) and column.type in BITS:
                place = rows.schema.get_field_index(column.name)
                bits = pa.chunked_array(
                    [chunk.view(BITS[column.type]) for chunk in rows.column(place).chunks], type=BITS[column.type]
                )
                rows = rows.set_column(place, column.name, bits)
        return rows

    def ranges(self, firsts: Sequence[tuple[Any, ...]]) -> list[tuple[int, int]]:
        """Per range that begins with one of these keys, in order: rows, and the sum of their hashes.

        What stands before the first belongs to the first.
        """
        order = ", ".join(self._keys)
        self._duck.execute("CREATE TABLE firsts AS SELECT * EXCLUDE (h) FROM rows LIMIT 0")
        if firsts:
            marks = ", ".join("?" for _ in self._keys)
            self._duck.executemany(f"INSERT INTO firsts VALUES ({marks})", [list(first) for first in firsts])  # noqa: S608
        self._duck.execute(f"""
            CREATE TABLE placed AS SELECT {order}, h, greatest(0, n - 1) AS place FROM (
                SELECT {order}, h, mark, sum(mark) OVER (ORDER BY {order}, mark DESC ROWS UNBOUNDED PRECEDING) AS n
                FROM (SELECT {order}, h, 0 AS mark FROM rows UNION ALL SELECT {order}, NULL, 1 FROM firsts)
            ) WHERE mark = 0""")  # noqa: S608
        found = self._duck.execute("SELECT place, count(*), sum(h) FROM placed GROUP BY place").fetchall()
        sums = {int(place): (int(rows), int(total)) for place, rows, total in found}
        return [sums.get(number, (0, 0)) for number in range(len(firsts))]

    def rows(self, place: int) -> dict[tuple[Any, ...], int]:
        """The hashes of the rows of one range, by key. Needs `ranges` before."""
        query = f"SELECT h, {', '.join(self._keys)} FROM placed WHERE place = ?"  # noqa: S608
        return {tuple(key): int(hashed) for hashed, *key in self._duck.execute(query, [place]).fetchall()}
