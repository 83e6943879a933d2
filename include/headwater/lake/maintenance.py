"""Keep a table fast and small without hurting who reads or writes it: let go, compact, expire, sweep.

1. *Retention*: rows older than the contract keeps them go, by whole partitions, and are counted (`retention`).
2. *Compaction* rewrites partitions with many small files or files with deletes (`compaction`), and small manifests.
3. *Expiry* forgets snapshots that are older than the wished age *and* older than what any reader or running build still
   needs (`readers`). Tags and branches are kept. A stream's position is tagged as well, so that expiry by other tools
   keeps it.
4. *Orphan files* are those no snapshot names, that are older than any write takes, and older than the newest commit of
   a stream: what it is writing now is younger, however long it has been stopped in the middle.

All of it is done under the table's lock, which builds, restatements and replays hold too. A stream does not take it:
appends and maintenance get along, and neither can make the other fail for good. `dry_run` says what each would do.
A stream makes a snapshot and a manifest every few seconds, and each commit writes all of them anew: `metadata_only`
merges manifests and expires snapshots, often, between the nights that do the rest.
"""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyspark.sql import SparkSession

from headwater.contracts.layers import table_names
from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Dataset, Kind
from headwater.errors import ConfigurationError
from headwater.lake import compaction, effects, retention
from headwater.lake.bounds import literal
from headwater.lake.commits import CATALOG
from headwater.lake.compaction import Scope
from headwater.lake.locks import table_lock
from headwater.lake.names import POSITION_TAG, move_tag
from headwater.lake.readers import STREAM, Reader, oldest_needed, readers_of, under_way, unread
from headwater.lake.references import time_of
from headwater.lake.snapshots import ancestry, head_id

KEEP = {Kind.STREAM: timedelta(hours=1), Kind.CAPTURE: timedelta(hours=1)}
KEEP_BY_DEFAULT = timedelta(days=5)
"""Age from which a snapshot may go, if nobody needs it. A stream makes thousands a day."""
SETTLED = timedelta(hours=1)
"""What arrived in a stream's bronze within so long is not compacted yet."""
ORPHAN_AGE = timedelta(days=3)
"""Longer than any write takes; Iceberg itself refuses less than a day."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """How a run differs from the usual: `keep` snapshots so long, files settle after `settled`, the time is `now`."""

    dry_run: bool = False
    metadata_only: bool = False
    keep: timedelta | None = None
    settled: timedelta = SETTLED
    now: datetime | None = None

    @property
    def moment(self) -> datetime:
        """Against what ages are counted."""
        return self.now or datetime.now(UTC)


USUAL = Wish()


def maintain(
    spark: SparkSession, catalog: Catalog, dataset: Dataset, wish: Wish = USUAL, table: str | None = None
) -> dict[str, Any]:
    """Maintain the tables of a dataset, or one of them; returns per table what was there before, done, and is after."""
    names = table_names(dataset)
    if table is not None and table not in names:
        known = ", ".join(names)
        raise ConfigurationError(f"{dataset.name} has no table '{table}'", where="--table", remedy=f"it has {known}")
    tables = [name for name in names if table in (None, name) and catalog.table_exists(name)]
    done = {name: maintain_table(spark, catalog, dataset, name, wish) for name in tables}
    return {"dataset": dataset.name, "dry_run": wish.dry_run} | done


def maintain_table(
    spark: SparkSession, catalog: Catalog, dataset: Dataset, name: str, wish: Wish = USUAL
) -> dict[str, Any]:
    """Maintain one table. Raises `TableLocked`, and `RetryableError` where other writers never let it through."""
    begun = time.monotonic()
    with nullcontext() if wish.dry_run else table_lock(name, purpose="maintain"):
        table = catalog.load_table(name)
        probe = None if wish.metadata_only else effects.probe_of(table)
        run: dict[str, Any] = {"before": effects.measure(catalog, name, probe).as_json(), "done": {}}
        if head_id(table) is None:
            return run
        run["done"] = _Table(spark, catalog, dataset, name, wish).work()
        if wish.dry_run:
            return run
        run["after"] = effects.measure(catalog, name, probe).as_json()
    if not wish.metadata_only:  # every hour, of every stream: nobody would find the nights among them
        effects.store(name, dataset.name, time.monotonic() - begun, run)
    log.info("%s: %s", name, told(run))
    return run


def told(run: dict[str, Any]) -> str:
    """The effect in a line."""
    names = ("data_files", "delete_files", "bytes", "rows", "manifests", "snapshots", "plan_seconds", "probe_seconds")
    return ", ".join(f"{name} {run['before'][name]:,} → {run['after'][name]:,}" for name in names)


class _Table:
    """One run over one table, under its lock (but for a dry run)."""

    def __init__(self, spark: SparkSession, catalog: Catalog, dataset: Dataset, name: str, wish: Wish) -> None:
        self.spark, self.catalog, self.dataset, self.name, self.wish = spark, catalog, dataset, name, wish
        self.is_stream = name.startswith("bronze.") and dataset.streamed

    def work(self) -> dict[str, Any]:
        """All steps; what each did, or would do."""
        readers = readers_of(self.catalog, self.dataset, self.name)
        limit = self._limit(readers)
        if self.wish.metadata_only:
            return self._forget(readers, limit)
        done: dict[str, Any] = {"retention": self._let_go(readers)}
        order = () if self.name.startswith("bronze.") or self.name.endswith("_refused") else self.dataset.sort_by
        scope = Scope(self.wish.moment - self.wish.settled if self.is_stream else None, order)
        if self.wish.dry_run:
            done["compact"] = compaction.plan(self._load(), scope).as_json()
        else:
            done["compact"] = compaction.compact(self.spark, self.catalog, self.name, scope)
        done |= self._forget(readers, limit)
        done["orphans"] = self._sweep(orphan_limit(self._load(), self.is_stream, readers, self.wish.moment))
        return done

    def _forget(self, readers: list[Reader], limit: tuple[datetime, str | None]) -> dict[str, Any]:
        """Merge small manifests, expire snapshots."""
        older_than, held_by = limit
        done: dict[str, Any] = {}
        if self.wish.dry_run:
            done["manifests"] = {"small": compaction.small_manifests(self._load())}
        else:
            done["manifests"] = compaction.rewrite_manifests(self.spark, self.catalog, self.name)
            tag_position(self.catalog, self.name, readers)
        done["expire"] = self._expire(older_than) | ({"held_by": held_by} if held_by else {})
        return done

    def _load(self) -> Table:
        return self.catalog.load_table(self.name)

    def _limit(self, readers: list[Reader]) -> tuple[datetime, str | None]:
        usual = KEEP.get(self.dataset.kind, KEEP_BY_DEFAULT) if self.is_stream else KEEP_BY_DEFAULT
        if (days := self.dataset.retention_days.get("snapshots")) is not None:
            usual = timedelta(days=days)
        limit, held_by = expiry_limit(self._load(), readers, self.wish.moment - (self.wish.keep or usual))
        for name, since in under_way(self.catalog, self.name).items():
            if (seen := newest_at(self._load(), since)) < limit:
                limit, held_by = seen, f"{name}, which is being built"
        return limit, held_by

    def _let_go(self, readers: list[Reader]) -> dict[str, Any]:
        table = self._load()
        wanted = retention.cut_of(self.dataset, self.name, self.wish.moment)
        if wanted is None:
            return {"rows": 0}
        if (reader := self._kept_longer(wanted)) is not None:
            return {"rows": 0, "held_by": reader}
        waited = unread(table, self.dataset, readers) if self.name.startswith("bronze.") else None
        cut = wanted if waited is None else retention.not_beyond(wanted, waited.since)
        rows = retention.expired_rows(table, cut)
        told = {"before": str(cut.before), "by": cut.column, "days": cut.days, "rows": rows}
        if waited is not None and (held := retention.expired_rows(table, wanted) - rows):
            told |= {"held_rows": held, "held_by": waited.by}
            log.warning("%s: %d rows are older than the contract keeps them: %s", self.name, held, waited.by)
        if self.wish.dry_run or not rows:
            return told
        return told | retention.drop(self.spark, self.catalog, self.dataset, self.name, cut)

    def _kept_longer(self, cut: retention.Cut) -> str | None:
        """The gold that is made from this silver and kept longer than it; None where there is none."""
        if self.name != f"silver.{self.dataset.name}":
            return None
        found = retention.longest_gold(self.dataset, load_contracts())
        return found[0] if found and (found[1] is None or found[1] > cut.days) else None

    def _expire(self, limit: datetime) -> dict[str, Any]:
        table = self._load()
        referenced = {reference.snapshot_id for reference in table.metadata.refs.values()}
        old = [s for s in table.metadata.snapshots if s.timestamp_ms < limit.timestamp() * 1000]
        candidates = sum(s.snapshot_id not in referenced for s in old)
        told = {"snapshots": candidates, "older_than": limit.isoformat(timespec="seconds")}
        if self.wish.dry_run or not candidates:
            return told
        arguments = f"table => '{CATALOG}.{self.name}', older_than => {literal(limit)}, retain_last => 1"
        (row,) = self.spark.sql(f"CALL {CATALOG}.system.expire_snapshots({arguments})").collect()
        return told | {"files_deleted": sum(value or 0 for value in row.asDict().values())}

    def _sweep(self, limit: datetime) -> dict[str, Any]:
        location = self._load().location()
        call = (
            f"CALL {CATALOG}.system.remove_orphan_files(table => '{CATALOG}.{self.name}', "
            f"older_than => {literal(limit)}, dry_run => {str(self.wish.dry_run).lower()}{_listing(location)})"
        )
        files = len(self.spark.sql(call).collect())
        return {"files": files, "older_than": limit.isoformat(timespec="seconds")}


def expiry_limit(table: Table, readers: list[Reader], wished: datetime) -> tuple[datetime, str | None]:
    """Snapshots older than this may go, and which reader holds the rest back (None: only their age does)."""
    needed = oldest_needed(table, readers)
    if needed is not None and needed[0] < wished.timestamp() * 1000:
        return datetime.fromtimestamp(needed[0] / 1000, UTC), needed[1]
    return wished, None


def newest_at(table: Table, moment: datetime) -> datetime:
    """When the snapshot was committed that was the newest at that moment: who begins then reads it."""
    before = (time_of(snapshot) for snapshot in ancestry(table))
    return next((committed for committed in before if committed <= moment), moment)


def orphan_limit(table: Table, is_stream: bool, readers: list[Reader], now: datetime) -> datetime:
    """Files that nothing names and that are older than this may go.

    A stream writes one batch after the other, so the files of the one under way are younger than its last commit.
    """
    limit = min(now, datetime.now(UTC)) - ORPHAN_AGE
    position = next((r.snapshot_id for r in readers if r.name == STREAM), None) if is_stream else None
    committed = None if position is None else table.metadata.snapshot_by_id(position)
    return limit if committed is None else min(limit, time_of(committed))


def tag_position(catalog: Catalog, name: str, readers: list[Reader]) -> None:
    """Move the tag to the snapshot that holds the stream's position."""
    position = next((r.snapshot_id for r in readers if r.name == STREAM), None)
    table = catalog.load_table(name)
    tagged = table.metadata.refs.get(POSITION_TAG)
    if position is None or (tagged is not None and tagged.snapshot_id == position):
        return
    move_tag(catalog, name, POSITION_TAG, position)


def _listing(location: str) -> str:
    """Spark lists folders with Hadoop's file systems, which know no `s3://`; there Iceberg's own lists."""
    return "" if location.startswith("file:") else ", prefix_listing => true"
