"""The file drop of the demo: the weekly product promotions as Parquet files in the landing folder.

The package's file is in the order of weeks, so a file of a drop holds whole weeks and is written in one pass, at most a
few million rows in memory. A file appears by a rename: a reader of the folder never sees half of one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headwater.contracts.loader import load_dataset
from headwater.errors import TerminalError
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
    progress: Callable[[int], None] | None = None,
) -> list[Dropped]:
    """Put the promotions of the weeks (first, last; all by default) into `files` files of whole weeks.

    A file that lies there already is left alone, so a second drop adds nothing. `progress` is told the rows written.
    Raises `TerminalError` where a week would come in by two files of different extent.
    """
    first, last = weeks or (1, WEEKS)
    folder = folder or get_settings().landing_dir / load_dataset(DATASET).source_name.split("/")[0]
    folder.mkdir(parents=True, exist_ok=True)
    done, total = [], 0
    spans = list(_spans(first, last, files))
    _refuse_overlap(folder, spans)
    for start, end in spans:
        result = _drop_file(folder / f"promotions-w{start:02d}-w{end:02d}.parquet", start, end)
        done.append(result)
        total += result.rows if result.written else 0
        if progress:
            progress(total)
    return done


def _spans(first: int, last: int, files: int) -> Iterator[tuple[int, int]]:
    """The weeks in `files` runs of about the same length; never more runs than weeks."""
    count = last - first + 1
    files = max(1, min(files, count))
    for i in range(files):
        yield first + count * i // files, first + count * (i + 1) // files - 1


def _refuse_overlap(folder: Path, spans: list[tuple[int, int]]) -> None:
    """A week in two files is a week twice in bronze; an earlier drop with other options would cause that."""
    for path in sorted(folder.glob("promotions-w*-w*.parquet")):
        if match := _NAME.fullmatch(path.name):
            there = int(match[1]), int(match[2])
            if there not in spans and any(start <= there[1] and there[0] <= end for start, end in spans):
                raise TerminalError(
                    f"weeks {there[0]} to {there[1]} lie there already, in a file of another extent",
                    where=str(path),
                    remedy="drop with the same --files and --weeks as before, or remove that file first",
                )


def _drop_file(path: Path, first: int, last: int) -> Dropped:
    if path.is_file():
        return Dropped(path, first, last, pq.read_metadata(path).num_rows, written=False)
    # Hidden until it is whole: ingestion takes *.parquet, and the leading dot keeps Spark away too.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        rows = _write(partial, first, last)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return Dropped(path, first, last, rows, written=True)


def _write(path: Path, first: int, last: int) -> int:
    source = pq.ParquetFile(completejourney.data_file(DATASET))
    schema = source.schema_arrow.remove_metadata()
    at = schema.get_field_index("week")
    schema = schema.set(at, pa.field("week", pa.int32()))
    rows = 0
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
