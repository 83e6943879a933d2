"""The file drop of the demo: the weekly product promotions as Parquet files in the landing folder.

The package's file is in the order of weeks, so a file of a drop holds whole weeks and is written in one pass, at most a
few million rows in memory. A file appears by a rename: a reader of the folder never sees half of one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headwater.contracts.loader import load_dataset
from headwater.settings import get_settings
from headwater.sources import completejourney

DATASET = "promotions"
WEEKS = 53
DEFAULT_FILES = 4
_BATCH_ROWS = 1_000_000
_NAME = re.compile(r"promotions-w(\d+)-w(\d+)\.parquet")


@dataclass(frozen=True, slots=True)
class Dropped:
    """One file of a drop; `written` is false where it lay there already."""

    path: Path
    first_week: int
    last_week: int
    rows: int
    written: bool


def drop(
    files: int = DEFAULT_FILES,
    weeks: tuple[int, int] | None = None,
    folder: Path | None = None,
) -> list[Dropped]:
    """Put the promotions of the weeks (first, last; all by default) into the landing folder, in files of whole weeks.

    Weeks that lie there in a file already are left alone; what is missing of them comes in about `files` new files. So
    a second drop adds nothing, and a drop of more weeks adds those. Returns the files that hold the weeks, in order.
    """
    first, last = weeks or (1, WEEKS)
    folder = folder or (get_settings().landing_dir / load_dataset(DATASET).source_name).parent
    folder.mkdir(parents=True, exist_ok=True)
    there = [d for d in _lying_in(folder) if d.first_week <= last and first <= d.last_week]
    covered = {week for d in there for week in range(d.first_week, d.last_week + 1)}
    missing = [week for week in range(first, last + 1) if week not in covered]
    new = [_drop_file(folder, start, end) for start, end in _spans(missing, files)]
    return sorted([*there, *new], key=lambda d: d.first_week)


def _lying_in(folder: Path) -> Iterator[Dropped]:
    for path in folder.glob("promotions-w*.parquet"):
        if match := _NAME.fullmatch(path.name):
            yield Dropped(path, int(match[1]), int(match[2]), pq.read_metadata(path).num_rows, written=False)


def _spans(weeks: list[int], files: int) -> Iterator[tuple[int, int]]:
    """Runs of adjacent weeks, none longer than its share of `files` files."""
    longest = -(-len(weeks) // files)
    start = 0
    for at in range(1, len(weeks) + 1):
        if at == len(weeks) or at - start == longest or weeks[at] != weeks[at - 1] + 1:
            yield weeks[start], weeks[at - 1]
            start = at


def _drop_file(folder: Path, first: int, last: int) -> Dropped:
    path = folder / f"promotions-w{first:02d}-w{last:02d}.parquet"
    # Hidden until it is whole: ingestion takes *.parquet, and the leading dot keeps Spark away too.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        rows = _write(partial, first, last)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return Dropped(path, first, last, rows, written=True)


def _write(path: Path, first: int, last: int) -> int:
    """The weeks' rows, with `week` as the contract has it (int); returns their number."""
    rows = 0
    with pq.ParquetFile(completejourney.data_file(DATASET)) as source:
        schema = source.schema_arrow.remove_metadata()
        at = schema.get_field_index("week")
        schema = schema.set(at, pa.field("week", pa.int32()))
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in source.iter_batches(batch_size=_BATCH_ROWS):
                week = batch.column("week")
                if week[0].as_py() > last:
                    break
                chosen = batch.filter(pc.and_(pc.greater_equal(week, first), pc.less_equal(week, last)))
                if chosen.num_rows:
                    narrow = chosen.set_column(at, "week", chosen.column("week").cast(pa.int32()))
                    writer.write_batch(narrow.cast(schema))
                    rows += chosen.num_rows
    return rows
