"""Parquet files dropped into the landing folder, into bronze: each file once, whole, under its name.

A producer writes under a name that begins with `.` or `_` and renames when the file is complete. Each commit's
summary lists the files it brought (`headwater.files`: name and size); where that snapshot has expired, bronze's own
`_source_file` tells. A file that has come in does not change: a correction comes under a new name, and a changed
size is an error. A file that cannot be read, or lacks a column, is an error that names it; the others come in first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyspark.sql import DataFrame, SparkSession, functions

from headwater.contracts.cleansing import spark_type
from headwater.contracts.layers import bronze_columns
from headwater.contracts.model import Dataset
from headwater.errors import RetryableError, TerminalError
from headwater.lake.bounds import literal
from headwater.lake.branches import BRANCH
from headwater.lake.commits import CATALOG
from headwater.lake.conform import quoted
from headwater.lake.locks import TableLock, table_lock
from headwater.lake.publish import publish
from headwater.lake.snapshots import ancestry, head_id, properties_of
from headwater.lake.source_table import with_hash
from headwater.settings import get_settings

FILES = "headwater.files"
"""Summary key: JSON `{"<path below the landing folder>": bytes}` of the files in this snapshot."""

ROWS_PER_TASK = 3_000_000
"""A Parquet row group is read by one task; a single one with more rows than this is spread over all cores."""


@dataclass(frozen=True, slots=True)
class Drop:
    """One file of the landing folder. `name` is its path below it; `fault` says why it cannot come in."""

    path: Path
    name: str
    bytes: int
    rows: int = 0
    row_groups: int = 0
    fault: str = ""


def ingest_files(spark: SparkSession, catalog: Catalog, dataset: Dataset) -> dict[str, Any]:
    """Append the files that bronze does not have; returns files and rows. Raises for files that cannot come in."""
    with table_lock(f"bronze.{dataset.name}", purpose="ingest") as lock:
        return _ingest(spark, catalog, lock, dataset)


def _ingest(spark: SparkSession, catalog: Catalog, lock: TableLock, dataset: Dataset) -> dict[str, Any]:
    table = catalog.load_table(lock.table)
    drops = [inspect(path, dataset) for path in _landed(dataset)]
    known = _ingested(spark, dataset, table, drops)
    changed = [d.name for d in drops if known.get(d.name, d.bytes) != d.bytes]
    fresh = [d for d in drops if d.name not in known]
    good, bad = [d for d in fresh if not d.fault], [d for d in fresh if d.fault]
    done: dict[str, Any] = {"dataset": dataset.name, "files": len(good), "rows": 0, "snapshot_id": head_id(table)}
    if good:
        done |= _append(spark, catalog, lock, dataset, good)
    if bad or changed:
        faults = [f"{d.name}: {d.fault}" for d in bad] + [f"{name}: changed since it came in" for name in changed]
        raise TerminalError(
            "; ".join(faults),
            where=f"{get_settings().landing_dir}",
            remedy=f"replace these files under new names (the {len(good)} others came in)",
        )
    return done


def inspect(path: Path, dataset: Dataset) -> Drop:
    """What the file's footer says: rows and row groups, or the fault."""
    name = path.relative_to(get_settings().landing_dir).as_posix()
    drop = Drop(path, name, path.stat().st_size)
    try:
        footer = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        return Drop(path, name, drop.bytes, fault=f"no complete Parquet file ({str(error).splitlines()[0]})")
    missing = [c.name for c in dataset.source_columns if c.name not in footer.schema_arrow.names]
    if missing:
        return Drop(path, name, drop.bytes, fault=f"lacks {', '.join(missing)}")
    return Drop(path, name, drop.bytes, footer.metadata.num_rows, footer.metadata.num_row_groups)


def _landed(dataset: Dataset) -> list[Path]:
    found = get_settings().landing_dir.glob(dataset.source_name)
    return sorted(path for path in found if path.is_file() and path.name[0] not in "._")


def _ingested(spark: SparkSession, dataset: Dataset, table: Table, drops: list[Drop]) -> dict[str, int]:
    """Files that bronze has, with their sizes (as they are now where the snapshot that knew has expired)."""
    known: dict[str, int] = {}
    oldest = None
    for oldest in ancestry(table):
        known |= json.loads(properties_of(oldest).get(FILES, "{}"))
    unsure = {d.name: d.bytes for d in drops if d.name not in known}
    if oldest is None or oldest.parent_snapshot_id is None or not unsure:
        return known
    names = ", ".join(literal(name) for name in unsure)
    rows = spark.table(f"{CATALOG}.bronze.{dataset.name}").where(f"_source_file IN ({names})")
    return known | {row[0]: unsure[row[0]] for row in rows.select("_source_file").distinct().collect()}


def _append(
    spark: SparkSession, catalog: Catalog, lock: TableLock, dataset: Dataset, drops: list[Drop]
) -> dict[str, Any]:
    """One commit with all rows of these files, if they are as many as their footers promise; otherwise none.

    Raises `RetryableError` where they are not: a file was replaced while it was read.
    """
    listed = json.dumps({d.name: d.bytes for d in drops}, separators=(",", ":"))
    promised = sum(d.rows for d in drops)

    def write(branch: str) -> None:
        _read(spark, dataset, drops).writeTo(branch).option(f"snapshot-property.{FILES}", listed).append()

    def audit(_branch: str) -> None:
        written = _added(catalog, lock.table, BRANCH)
        if written != promised:
            raise RetryableError(
                f"{written} rows were read where the footers promise {promised}: {', '.join(d.name for d in drops)}",
                where=lock.table,
                remedy="nothing came in; drop complete files under names of their own and run the job again",
            )

    snapshot_id = publish(spark, catalog, lock, write, audit)
    return {"rows": _added(catalog, lock.table), "snapshot_id": snapshot_id, "rows_promised": promised}


def _added(catalog: Catalog, name: str, branch: str = "main") -> int:
    """Rows that the branch's newest snapshot has brought."""
    newest = next(ancestry(catalog.load_table(name), branch), None)
    return 0 if newest is None else int(properties_of(newest).get("added-records", 0))


def _read(spark: SparkSession, dataset: Dataset, drops: list[Drop]) -> DataFrame:
    """The files' rows as bronze's columns."""
    # Spark writes a path as file:/… or file:///…, by where it comes from; what follows is the same.
    root = get_settings().landing_dir.as_uri().removeprefix("file://") + "/"
    raw = spark.read.parquet(*(d.path.as_uri() for d in drops)).selectExpr("*", "_metadata.file_path AS _path")
    if sum(d.rows for d in drops) > ROWS_PER_TASK and sum(d.row_groups for d in drops) == 1:
        raw = raw.repartition(functions.rand())
    own = [f"cast(`{c.name}` AS {spark_type(c)}) AS `{c.name}`" for c in dataset.source_columns]
    encoded = f"replace(substring(_path, instr(_path, {literal(root)}) + {len(root)}), '+', '%2B')"
    name = f"url_decode({encoded}) AS _source_file"
    frame = with_hash(raw.selectExpr(*own, name), dataset)
    now = literal(datetime.now(UTC))
    frame = frame.selectExpr("*", f"{literal(dataset.source_system)} AS _source_system", f"{now} AS _ingested_at")
    return frame.selectExpr(*quoted([c.name for c in bronze_columns(dataset)]))
