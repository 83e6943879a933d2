"""Fewer, larger files and manifests: the same rows in the contract's order, without ever being in a writer's way.

Compaction rewrites partitions with many small files, and files with deletes. It commits in portions, so that what a
conflict costs is one portion, and what is left is planned anew from the table as it is then. Of a stream's bronze only
files that have settled are touched: a partition that is being written is left alone. Its commits are `replace`
snapshots: not a change to anybody who reads on, and a MERGE that meets one is tried again (`commits`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from pyiceberg.catalog import Catalog
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import FileScanTask, Table
from pyspark.sql import Row, SparkSession

from headwater.contracts.layers import INGESTED_AT
from headwater.errors import RetryableError
from headwater.lake.bounds import literal
from headwater.lake.commits import CATALOG, is_conflict

TARGET_BYTES = 128 * 1024 * 1024
SMALL = 0.75
"""A file below this share of the target is small."""
MIN_INPUT_FILES = 5
"""A partition is compacted when it has so many small files; fewer are not worth a rewrite."""
PORTION_BYTES = 1024**3
"""At most so much of a partition is rewritten in one piece."""
PORTIONS = 10
"""Commits of one run, each with its share of the pieces: one that fails leaves the others in place."""
TRIES = 3
"""So often a run looks at the table anew when other writers came first. What is left then waits for the next run."""
MIN_SMALL_MANIFESTS = 10
MANIFEST_BYTES = 8 * 1024 * 1024
"""Iceberg's own target for a manifest."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be rewritten: all of the table, or what arrived before `settled`; sorted by `order` if there is one."""

    settled: datetime | None = None
    order: tuple[str, ...] = ()

    @property
    def condition(self) -> str | None:
        """SQL that is true for the rows of files that may be rewritten."""
        return None if self.settled is None else f"{INGESTED_AT} < {literal(self.settled)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Partitions of many small files, and files with deletes."""

    partitions: int
    files: int
    files_with_deletes: int

    def __bool__(self) -> bool:
        return bool(self.partitions or self.files_with_deletes)

    def as_json(self) -> dict[str, int]:
        """For the result."""
        return {
            "partitions_of_small_files": self.partitions,
            "small_files": self.files,
            "files_with_deletes": self.files_with_deletes,
        }


def plan(table: Table, scope: Scope) -> Plan:
    """What compaction would rewrite of the table as it is, by its metadata."""
    tasks = list(_settled_tasks(table, scope))
    small = Counter(str(t.file.partition) for t in tasks if t.file.file_size_in_bytes < SMALL * TARGET_BYTES)
    many = [count for count in small.values() if count >= MIN_INPUT_FILES]
    return Plan(len(many), sum(many), sum(bool(t.delete_files) for t in tasks))


def _settled_tasks(table: Table, scope: Scope) -> Iterable[FileScanTask]:
    if scope.settled is None:
        return table.scan().plan_files()
    return table.scan(row_filter=f"{INGESTED_AT} < '{scope.settled.isoformat()}'").plan_files()


def compact(spark: SparkSession, catalog: Catalog, name: str, scope: Scope) -> dict[str, int]:
    """Rewrite what `plan` finds; again, from the table as it is then, where another writer came first.

    Raises `RetryableError` where one did each time, and nothing at all could be rewritten.
    """
    done: Counter[str] = Counter(plan(catalog.load_table(name), scope).as_json())
    failure: Exception | None = None
    for _ in range(TRIES):
        if not plan(catalog.load_table(name), scope):
            break
        try:
            row = _rewrite(spark, name, scope)
        except Exception as error:
            if not is_conflict(error):
                raise
            failure = error
        else:
            done.update(_counts(row))
            if row["rewritten_data_files_count"]:
                continue
        done["conflicts"] += 1
        log.warning("%s: compaction met another writer: %.200s", name, failure or "all portions were refused")
    if done["conflicts"] and not done["files_rewritten"]:
        remedy = "nothing was changed; the next maintenance tries again"
        raise RetryableError("compaction met another writer", where=name, remedy=remedy) from failure
    return dict(done)


def _rewrite(spark: SparkSession, name: str, scope: Scope) -> Row:
    options = {
        "min-input-files": MIN_INPUT_FILES,
        "target-file-size-bytes": TARGET_BYTES,
        "max-file-group-size-bytes": PORTION_BYTES,
        "partial-progress.enabled": "true",
        "partial-progress.max-commits": PORTIONS,
        "max-concurrent-file-group-rewrites": 2,
        "delete-file-threshold": 1,
        "remove-dangling-deletes": "true",
    }
    arguments = {"table": f"'{CATALOG}.{name}'", "options": _sql_map(options)}
    if scope.order:
        order = ", ".join(f"{column} ASC NULLS LAST" for column in scope.order)
        arguments |= {"strategy": "'sort'", "sort_order": f"'{order}'"}
    if scope.condition is not None:
        arguments["where"] = '"' + scope.condition + '"'
    listed = ", ".join(f"{key} => {value}" for key, value in arguments.items())
    (row,) = spark.sql(f"CALL {CATALOG}.system.rewrite_data_files({listed})").collect()
    return row


def _counts(row: Row) -> dict[str, int]:
    return {
        "files_rewritten": row["rewritten_data_files_count"],
        "files_added": row["added_data_files_count"],
        "bytes_rewritten": row["rewritten_bytes_count"],
        "files_failed": row["failed_data_files_count"],
        "delete_files_removed": row["removed_delete_files_count"],
    }


def _sql_map(options: Mapping[str, object]) -> str:
    return "map(" + ", ".join(f"'{key}', '{value}'" for key, value in options.items()) + ")"


def manifests(table: Table) -> list[ManifestFile]:
    """The manifests of the table's newest snapshot."""
    snapshot = table.current_snapshot()
    return [] if snapshot is None else snapshot.manifests(table.io)


def small_manifests(table: Table) -> int:
    """How many manifests are far below their target; 0 where they are too few to be worth a rewrite."""
    small = sum(manifest.manifest_length < SMALL * MANIFEST_BYTES for manifest in manifests(table))
    return small if small >= MIN_SMALL_MANIFESTS else 0


def rewrite_manifests(spark: SparkSession, catalog: Catalog, name: str) -> dict[str, int]:
    """Merge small manifests and order them by partition, so that planning opens fewer; what was done."""
    small = small_manifests(catalog.load_table(name))
    done = {"small": small}
    for attempt in _tries(small):
        try:
            call = f"CALL {CATALOG}.system.rewrite_manifests(table => '{CATALOG}.{name}', use_caching => false)"
            (row,) = spark.sql(call).collect()
        except Exception as error:
            if not is_conflict(error):
                raise
            log.warning("%s: the rewrite of manifests met another writer: %.200s", name, error)
            done["conflicts"] = attempt
        else:
            rewritten, added = row["rewritten_manifests_count"], row["added_manifests_count"]
            return done | {"rewritten": rewritten, "added": added}
    return done  # the next run tries again: nothing depends on it


def _tries(small: int) -> Iterator[int]:
    yield from range(1, TRIES + 1) if small else ()
