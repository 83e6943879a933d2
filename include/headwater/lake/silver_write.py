"""How accepted rows get into silver: what they are written beside, by which statement, and what that took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyspark.sql import DataFrame, SparkSession

from headwater.contracts.iceberg import add_provenance
from headwater.contracts.layers import ATTEMPT, OPERATION, silver_columns
from headwater.contracts.model import Dataset
from headwater.lake import commits, merge
from headwater.lake.batch import Summary
from headwater.lake.bounds import EVERYWHERE, Bounds
from headwater.lake.commits import CATALOG
from headwater.lake.conform import newest_per_key, order_columns, quoted, spread_columns
from headwater.lake.history import timeline, with_gone, without
from headwater.lake.refusals import refused_name
from headwater.lake.snapshots import properties_of, row_count
from headwater.lake.truncation import Truncate, alive_before, buried, remembered, with_burials

STANDING = "standing"
"""`_operation` of a row that silver has already, beside those of the batch."""


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


def write(
    spark: SparkSession,
    catalog: Catalog,
    tables: Tables,
    accepted: DataFrame,
    summary: Summary,
    properties: Mapping[str, str],
    truncates: Sequence[Truncate] = (),
) -> dict[str, Any]:
    """Commit the accepted rows of a batch: append, MERGE, or the versions of a history; returns what that took.

    `truncates` are those of the batch itself; `tables` has all that are known.
    """
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
