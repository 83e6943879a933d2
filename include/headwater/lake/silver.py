"""Silver of one dataset, from its contract alone: one row per key (or its versions), cleansed, judged, typed.

The build reads what was appended to bronze since the snapshot named in silver's own summary, and commits the result
with the new position in the same snapshot; run again, it finds nothing to do. Order of commits: the refused rows
first, then silver (see `refusals`). Cost follows the batch: MERGE opens only files that can hold its keys.

The contract's rules about the table are judged after the commit (`quality.silver`): a broken one fails this build and
each one after it until it holds, so that nothing is built on such a silver.

Whoever writes silver holds its lock; a first load into an empty table is a plain append.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyspark.sql import DataFrame, SparkSession

from headwater.contracts.model import Dataset
from headwater.lake import commits, lateness
from headwater.lake.batch import Batch, Summary, nothing_new, position_properties, read_batch, summarize
from headwater.lake.bounds import EVERYWHERE
from headwater.lake.conform import (
    ACCEPTED_ROW,
    conform,
    highest_attempts,
)
from headwater.lake.event_time import event_time, watermark
from headwater.lake.locks import table_lock
from headwater.lake.refusals import one_per_place, refused_name, refused_rows, restate_refused
from headwater.lake.silver_write import Tables, write
from headwater.lake.snapshots import ancestry, head_id, inputs_read, row_count
from headwater.lake.truncation import (
    joined,
    read_truncates,
    truncate_properties,
)
from headwater.quality.silver import Built, audit, audit_again, to_be_judged

PERSIST_AT_MOST = 200_000
"""Rows of a batch that are kept between the steps; of a larger one it is cheaper to read the columns again."""


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
        written = write(spark, catalog, tables, rows.where(ACCEPTED_ROW), summary, properties, new)
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
