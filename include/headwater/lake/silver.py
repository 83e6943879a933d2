"""Silver of one dataset, from its contract alone: one row per key (or its versions), cleansed, judged, typed.

The build reads what was appended to bronze since the snapshot named in silver's own summary, and commits the result
with the new position in the same snapshot; run again, it finds nothing to do. Order of commits: the refused rows
first, then silver (see `refusals`). Cost follows the batch: MERGE opens only files that can hold its keys.

The contract's rules about the table are judged after the commit (`quality.silver`): a broken one fails this build and
each one after it until it holds, so that nothing is built on such a silver.

Whoever writes silver holds its lock; a first load into an empty table is a plain append.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyspark.sql import DataFrame, SparkSession

from headwater.contracts.iceberg import add_provenance
from headwater.contracts.layers import ATTEMPT, OPERATION, silver_columns
from headwater.contracts.model import Dataset
from headwater.lake import commits, lateness, merge
from headwater.lake.batch import Batch, Summary, nothing_new, position_properties, read_batch, summarize
from headwater.lake.bounds import EVERYWHERE, Bounds
from headwater.lake.commits import CATALOG
from headwater.lake.conform import (
    ACCEPTED_ROW,
    conform,
    highest_attempts,
    newest_per_key,
    order_columns,
    quoted,
    spread_columns,
)
from headwater.lake.event_time import event_time, watermark
from headwater.lake.history import timeline, with_gone, without
from headwater.lake.locks import table_lock
from headwater.lake.refusals import one_per_place, refused_name, refused_rows, restate_refused
from headwater.lake.snapshots import ancestry, head_id, inputs_read, properties_of, row_count
from headwater.lake.truncation import (
    Truncate,
    alive_before,
    buried,
    joined,
    read_truncates,
    remembered,
    truncate_properties,
    with_burials,
)
from headwater.quality.silver import Built, audit, audit_again, to_be_judged

STANDING = "standing"
"""`_operation` of a row that silver has already, beside those of the batch."""
PERSIST_AT_MOST = 200_000
"""Rows of a batch that are kept between the steps; of a larger one it is cheaper to read the columns again."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The names `<namespace>.<table>` of a dataset, and the tables as they are when the build begins."""

    dataset: Dataset
    bronze: Table
    silver: Table
    refused: Table
    truncates: Sequence[Truncate] = field(default=())

    @classmethod
    def load(cls, catalog: Catalog, dataset: Dataset) -> Tables:
        """The three tables; `contract apply` has made them. Those that a build writes get new provenance."""
        source = f"bronze.{dataset.name}"
        bronze = catalog.load_table(source)
        written = (f"silver.{dataset.name}", refused_name(dataset))
        silver, refused = (add_provenance(catalog, dataset, name) for name in written)
        known = remembered(silver, source) if dataset.captured else []
        return cls(dataset, bronze, silver, refused, known)

    @property
    def input_name(self) -> str:
        """The input's name in summaries."""
        return f"bronze.{self.dataset.name}"

    @property
    def name(self) -> str:
        """Silver's name."""
        return f"silver.{self.dataset.name}"


def unchanged(catalog: Catalog, dataset: Dataset) -> dict[str, Any] | None:
    """What `build` returns where there is nothing to do, from metadata alone: that needs no Spark. Else None."""
    bronze, silver = (catalog.load_table(f"{layer}.{dataset.name}") for layer in ("bronze", "silver"))
    position = inputs_read(silver).get(f"bronze.{dataset.name}")
    if not nothing_new(bronze, position) or to_be_judged(dataset, silver):
        return None
    return _nothing_done(dataset, silver)


def _nothing_done(dataset: Dataset, silver: Table) -> dict[str, Any]:
    return {"dataset": dataset.name, "mode": "unchanged", "rows": 0, "snapshot_id": head_id(silver)}


def build(spark: SparkSession, catalog: Catalog, dataset: Dataset) -> dict[str, Any]:
    """Bring silver up to bronze's newest snapshot; returns what was read, written and opened."""
    with table_lock(f"silver.{dataset.name}", purpose="build"):
        return _build(spark, catalog, dataset)


def _build(spark: SparkSession, catalog: Catalog, dataset: Dataset) -> dict[str, Any]:
    tables = Tables.load(catalog, dataset)
    position = inputs_read(tables.silver).get(tables.input_name)
    batch = read_batch(spark, dataset, tables.bronze, tables.silver, position)
    if batch is None:
        audit_again(spark, dataset, tables.silver)
        return _nothing_done(dataset, tables.silver)
    is_first = not row_count(tables.silver)
    so_far = event_time(tables.silver)
    mark = watermark(dataset, so_far)
    new = read_truncates(batch.frame) if dataset.captured else []
    tables = replace(tables, truncates=joined(tables.truncates, new))
    with judged(batch, dataset, "false" if is_first else ACCEPTED_ROW, mark) as (rows, summary):
        properties = position_properties(tables.bronze, tables.input_name, batch.end)
        properties |= truncate_properties(tables.input_name, tables.truncates)
        refused = _write_refused(spark, catalog, tables, batch, rows, summary, properties)
        properties |= so_far.after(summary.events).properties()
        properties |= lateness.late_days(dataset, rows, mark if summary.events.total else None)
        summary = replace(summary, bounds=EVERYWHERE) if new else summary
        written = _write(spark, catalog, tables, rows.where(ACCEPTED_ROW), summary, properties, new)
    read = {"dataset": dataset.name, "from": batch.origin, "rows_read": summary.rows, "rows_refused": summary.refused}
    if summary.events.total:
        read["late"] = dict(summary.events.late)
    return read | {"refused_snapshot_id": refused} | written | judge_silver(spark, catalog, tables, summary, is_first)


def judge_silver(
    spark: SparkSession, catalog: Catalog, tables: Tables, summary: Summary, is_first: bool = False
) -> dict[str, Any]:
    """Judge silver after a build by the contract's rules; returns how many. Raises `QualityFailed`."""
    condition = "true" if is_first else summary.bounds.to_sql("silver")
    built = Built(condition, summary.warned, unique=is_first)
    report = audit(spark, tables.dataset, catalog.load_table(tables.name), built)
    return {"checks": len(report.results), "warnings": list(report.warnings)}


@contextmanager
def judged(
    batch: Batch, dataset: Dataset, bounded: str = ACCEPTED_ROW, mark: datetime | None = None
) -> Iterator[tuple[DataFrame, Summary]]:
    """The batch's rows in silver's shape with the rules they break, kept while in use, and what they amount to."""
    rows = conform(batch.frame, dataset)
    keep = batch.rows <= PERSIST_AT_MOST
    if keep:
        rows.persist()
    try:
        summary = summarize(rows, dataset, bounded, mark)
        yield (highest_attempts(rows) if summary.highest_attempt > 0 else rows), summary
    finally:
        if keep:
            rows.unpersist()


def _write_refused(
    spark: SparkSession,
    catalog: Catalog,
    tables: Tables,
    batch: Batch,
    rows: DataFrame,
    summary: Summary,
    properties: Mapping[str, str],
) -> int | None:
    """List the batch's refused rows, but for those that an interrupted run has listed; returns the snapshot."""
    dataset, name = tables.dataset, refused_name(tables.dataset)
    if summary.refused == 0:
        return None
    ahead = inputs_read(tables.refused).get(tables.input_name)
    if ahead is None or (batch.origin == "snapshots" and not _lies_in(tables.bronze, ahead, batch)):
        return commits.append(catalog, refused_rows(rows, dataset), name, properties).snapshot_id
    # An interrupted run, or a batch that may hold rows of earlier ones: what is listed already must be recognised.
    view = f"judged_{dataset.name}"
    refused_rows(one_per_place(rows, dataset), dataset).createOrReplaceTempView(view)
    try:
        sql = restate_refused(dataset, f"{commits.CATALOG}.{name}", view)
        return commits.execute(catalog, spark, name, sql, properties).snapshot_id
    finally:
        spark.catalog.dropTempView(view)


def _lies_in(bronze: Table, snapshot_id: int, batch: Batch) -> bool:
    """Whether the refused table's position is one of the snapshots that this batch reads."""
    for snapshot in ancestry(bronze, start=batch.end):
        if snapshot.snapshot_id == batch.start:
            return False
        if snapshot.snapshot_id == snapshot_id:
            return True
    return False


def _write(
    spark: SparkSession,
    catalog: Catalog,
    tables: Tables,
    accepted: DataFrame,
    summary: Summary,
    properties: Mapping[str, str],
    truncates: Sequence[Truncate] = (),
) -> dict[str, Any]:
    """`truncates` are those of the batch itself; `tables` has all that are known."""
    dataset = tables.dataset
    if summary.rows == summary.refused and not truncates:
        nothing = spark.table(f"{CATALOG}.{tables.name}").limit(0)
        return measured(commits.append(catalog, nothing, tables.name, properties), "position", summary.bounds, None)
    if dataset.history:
        return write_history(spark, catalog, tables, accepted, summary, properties)
    if dataset.captured:
        accepted = _with_standing(spark, tables, accepted, truncates)
    newest = buried(newest_per_key(accepted, dataset), tables.truncates)
    rows = newest.selectExpr(*silver_names(dataset), *([OPERATION] if dataset.captured else []))
    if not row_count(tables.silver):
        rows = rows.selectExpr(*silver_names(dataset))
        # The rows lie by partition already; where they do not, Iceberg spreads them as the table asks.
        options = {"distribution-mode": "none", "fanout-enabled": "true"} if spread_columns(dataset) else {}
        snapshot = commits.append(catalog, rows, tables.name, properties, **options)
        return measured(snapshot, "append", summary.bounds, None)
    return run_merge(spark, catalog, tables, rows, merge.upsert, summary.bounds, properties)


def _with_standing(
    spark: SparkSession, tables: Tables, accepted: DataFrame, truncates: Sequence[Truncate]
) -> DataFrame:
    """The batch's rows, and those of silver that a truncate of the batch deletes."""
    names = silver_names(tables.dataset)
    rows = accepted.selectExpr(*names, ATTEMPT, OPERATION)
    if not truncates:
        return rows
    standing = alive_before(spark.table(f"{CATALOG}.{tables.name}"), truncates)
    return rows.unionByName(standing.selectExpr(*names, f"0 AS {ATTEMPT}", f"'{STANDING}' AS {OPERATION}"))


def write_history(
    spark: SparkSession,
    catalog: Catalog,
    tables: Tables,
    accepted: DataFrame,
    summary: Summary,
    properties: Mapping[str, str],
    refused: DataFrame | None = None,
) -> dict[str, Any]:
    """Bring the versions of the batch's keys up to date; versions made of rows that are now `refused` go."""
    dataset = tables.dataset
    names = [n for n in silver_names(dataset) if n.strip("`") in accepted.columns]
    operation = [OPERATION] if dataset.captured else []
    events = accepted.selectExpr(*names, *operation)
    if not row_count(tables.silver):
        rows = timeline(with_burials(events, dataset, tables.truncates), dataset)
        return measured(commits.append(catalog, rows, tables.name, properties), "append", summary.bounds, None)
    known = spark.table(f"{CATALOG}.{tables.name}").alias("t").where(summary.bounds.to_sql("t"))
    key = list(dataset.primary_key)
    keys = events.select(*key) if refused is None else events.select(*key).unionByName(refused.select(*key))
    if not (dataset.captured and summary.bounds == EVERYWHERE):  # a truncate is about all keys
        known = known.join(keys.distinct(), on=key, how="left_semi")
    held = known if refused is None else without(known, refused, [*key, *order_columns(dataset)])
    standing = held.selectExpr(*names, *(f"'{STANDING}' AS {name}" for name in operation))
    new = timeline(with_burials(standing.unionByName(events), dataset, tables.truncates), dataset)
    return run_merge(spark, catalog, tables, with_gone(new, known, dataset), merge.versions, summary.bounds, properties)


def run_merge(
    spark: SparkSession,
    catalog: Catalog,
    tables: Tables,
    rows: DataFrame,
    statement: Any,
    bounds: Bounds,
    properties: Mapping[str, str],
) -> dict[str, Any]:
    """MERGE `rows` into silver by one of the statements of `merge`."""
    view = f"batch_{tables.dataset.name}"
    rows.createOrReplaceTempView(view)
    try:
        sql = statement(tables.dataset, f"{CATALOG}.{tables.name}", view, bounds)
        snapshot = commits.execute(catalog, spark, tables.name, sql, properties)
    finally:
        spark.catalog.dropTempView(view)
    return measured(snapshot, "merge", bounds, tables.silver)


def silver_names(dataset: Dataset) -> list[str]:
    """Silver's columns, quoted."""
    return quoted([c.name for c in silver_columns(dataset)])


def measured(snapshot: Any, mode: str, bounds: Bounds, before: Table | None) -> dict[str, Any]:
    """What a commit did, by its summary, and how much of the table it had to open."""
    told = properties_of(snapshot)
    files, size = (0, 0) if before is None else bounds.files(before)
    return {
        "mode": mode,
        "snapshot_id": snapshot.snapshot_id,
        "rows": int(told.get("added-records", 0)),
        "rows_deleted": int(told.get("added-position-deletes", 0)),
        "files_written": int(told.get("added-data-files", 0)) + int(told.get("added-delete-files", 0)),
        "bytes_written": int(told.get("added-files-size", 0)),
        "files_opened": files,
        "bytes_opened": size,
        "files_total": int(told.get("total-data-files", 0)),
    }
