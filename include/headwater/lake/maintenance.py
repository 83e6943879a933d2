"""Keep a table fast and small without hurting who reads or writes it: compact, expire, sweep.

- Compaction rewrites partitions with many small files or files with deletes. Its commit is a `replace`: not a change
  to anybody who reads on, and a MERGE that meets it is tried again (`commits`).
- Expiry forgets snapshots that are older than the wished age *and* older than what any reader still needs (`readers`).
  A stream's position is tagged as well, so that expiry by other tools keeps it.
- Orphan files are those no snapshot names and that are older than any write can take.

Silver and gold are worked on under the table's lock. A stream's bronze has no lock: appends and compaction get along.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyspark.sql import SparkSession

from headwater.contracts.layers import table_names
from headwater.contracts.model import Dataset, Kind
from headwater.errors import RetryableError
from headwater.lake.bounds import literal
from headwater.lake.commits import CATALOG, is_conflict
from headwater.lake.locks import table_lock
from headwater.lake.readers import Reader, oldest_needed, readers_of
from headwater.lake.snapshots import head_id
from headwater.lake.tags import POSITION_TAG

TARGET_BYTES = 128 * 1024 * 1024
SMALL = 0.75
"""A file below this share of the target is small."""
MIN_INPUT_FILES = 5
"""A partition is compacted when it has so many small files; fewer are not worth a rewrite."""
KEEP = {Kind.STREAM: timedelta(hours=1), Kind.CAPTURE: timedelta(hours=1)}
KEEP_BY_DEFAULT = timedelta(days=5)
"""Age from which a snapshot may go, if nobody needs it. A stream makes thousands a day."""
ORPHAN_AGE = timedelta(days=3)
"""Longer than any write takes; Iceberg itself refuses less than a day."""


def maintain(spark: SparkSession, catalog: Catalog, dataset: Dataset, *, dry_run: bool = False) -> dict[str, Any]:
    """Maintain all tables of a dataset; returns per table what was there before, what was done, and what is after."""
    tables = [name for name in table_names(dataset) if catalog.table_exists(name)]
    return {"dataset": dataset.name, "dry_run": dry_run} | {
        name: maintain_table(spark, catalog, dataset, name, dry_run=dry_run) for name in tables
    }


def maintain_table(
    spark: SparkSession,
    catalog: Catalog,
    dataset: Dataset,
    name: str,
    *,
    dry_run: bool = False,
    keep: timedelta | None = None,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Maintain one table. `keep` and `now`: snapshots older than `keep` before `now` may go, if nobody needs them."""
    is_stream = name.startswith("bronze.") and dataset.streamed
    lock = nullcontext() if dry_run or is_stream else table_lock(name, purpose="maintain")
    with lock:
        table = catalog.load_table(name)
        before = measure(table)
        if head_id(table) is None:
            return {"before": before, "done": {}}
        moment = now or datetime.now(UTC)
        age = keep or (KEEP.get(dataset.kind, KEEP_BY_DEFAULT) if is_stream else KEEP_BY_DEFAULT)
        readers = readers_of(catalog, dataset, name)
        limit, held_by = expiry_limit(table, readers, moment - age)
        done: dict[str, Any] = {"compact": _compact(spark, table, name, dry_run)}
        if not dry_run:
            tag_position(catalog, name, readers)
        done["expire"] = _expire(spark, catalog, name, limit, dry_run) | ({"held_by": held_by} if held_by else {})
        done["orphans"] = _sweep(spark, name, datetime.now(UTC) - ORPHAN_AGE, dry_run)
        return {"before": before, "done": done} | ({} if dry_run else {"after": measure(catalog.load_table(name))})


def measure(table: Table) -> dict[str, int]:
    """Files, bytes and snapshots of a table, by its metadata."""
    files = [] if head_id(table) is None else list(table.scan().plan_files())
    deletes = {d.file_path for task in files for d in task.delete_files}
    return {
        "data_files": len(files),
        "small_files": sum(task.file.file_size_in_bytes < SMALL * TARGET_BYTES for task in files),
        "delete_files": len(deletes),
        "bytes": sum(task.file.file_size_in_bytes for task in files),
        "rows": sum(task.file.record_count for task in files),
        "snapshots": len(table.metadata.snapshots),
    }


def expiry_limit(table: Table, readers: list[Reader], wished: datetime) -> tuple[datetime, str | None]:
    """Snapshots older than this may go, and which reader holds the rest back (None: only their age does)."""
    needed = oldest_needed(table, readers)
    if needed is not None and needed[0] < wished.timestamp() * 1000:
        return datetime.fromtimestamp(needed[0] / 1000, UTC), needed[1]
    return wished, None


def tag_position(catalog: Catalog, name: str, readers: list[Reader]) -> None:
    """Move the tag to the snapshot that holds the stream's position."""
    position = next((r.snapshot_id for r in readers if r.name == "stream"), None)
    table = catalog.load_table(name)
    tagged = table.metadata.refs.get(POSITION_TAG)
    if position is None or (tagged is not None and tagged.snapshot_id == position):
        return
    change = table.manage_snapshots()
    if tagged is not None:
        change = change.remove_tag(POSITION_TAG)
    change.create_tag(position, POSITION_TAG).commit()


def _compact(spark: SparkSession, table: Table, name: str, dry_run: bool) -> dict[str, int]:
    """Rewrite partitions of many small files, and files that have deletes."""
    tasks = list(table.scan().plan_files())
    small = Counter(str(t.file.partition) for t in tasks if t.file.file_size_in_bytes < SMALL * TARGET_BYTES)
    partitions = sum(count >= MIN_INPUT_FILES for count in small.values())
    deleted = sum(bool(t.delete_files) for t in tasks)
    if dry_run or not (partitions or deleted):
        return {"partitions_of_small_files": partitions, "files_with_deletes": deleted}
    options = {
        "min-input-files": MIN_INPUT_FILES,
        "target-file-size-bytes": TARGET_BYTES,
        "delete-file-threshold": 1,
        "remove-dangling-deletes": "true",
    }
    listed = ", ".join(f"'{key}', '{value}'" for key, value in options.items())
    call = f"CALL {CATALOG}.system.rewrite_data_files(table => '{CATALOG}.{name}', options => map({listed}))"
    try:
        (row,) = spark.sql(call).collect()
    except Exception as error:
        if is_conflict(error):
            remedy = "nothing was changed; the next maintenance tries again"
            raise RetryableError("compaction met another writer", where=name, remedy=remedy) from error
        raise
    return {
        "files_rewritten": row["rewritten_data_files_count"],
        "files_added": row["added_data_files_count"],
        "bytes_rewritten": row["rewritten_bytes_count"],
        "delete_files_removed": row["removed_delete_files_count"],
    }


def _expire(spark: SparkSession, catalog: Catalog, name: str, limit: datetime, dry_run: bool) -> dict[str, Any]:
    table = catalog.load_table(name)
    referenced = {reference.snapshot_id for reference in table.metadata.refs.values()}
    old = [s for s in table.metadata.snapshots if s.timestamp_ms < limit.timestamp() * 1000]
    candidates = sum(s.snapshot_id not in referenced for s in old)
    told = {"snapshots": candidates, "older_than": limit.isoformat(timespec="seconds")}
    if dry_run or not candidates:
        return told
    arguments = f"table => '{CATALOG}.{name}', older_than => {literal(limit)}, retain_last => 1"
    call = f"CALL {CATALOG}.system.expire_snapshots({arguments})"
    (row,) = spark.sql(call).collect()
    return told | {"files_deleted": sum(value or 0 for value in row.asDict().values())}


def _sweep(spark: SparkSession, name: str, limit: datetime, dry_run: bool) -> dict[str, int]:
    call = (
        f"CALL {CATALOG}.system.remove_orphan_files(table => '{CATALOG}.{name}', older_than => {literal(limit)}, "
        f"dry_run => {str(dry_run).lower()})"
    )
    return {"files": len(spark.sql(call).collect())}
