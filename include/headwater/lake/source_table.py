"""A table of the source database into bronze: only the rows that are new, changed or gone since the last read.

The source is read whole in one statement, so it is one state of the table; each row's hash is compared with that of
the newest row bronze has for its key. A row that is gone is appended with its last known values and
`_operation = 'delete'`. Nothing is committed where nothing has changed.

A new column in the contract changes every hash, so the next read appends every row once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pyiceberg.catalog import Catalog
from pyspark.sql import DataFrame, SparkSession

from headwater.contracts.cleansing import spark_type
from headwater.contracts.layers import bronze_columns
from headwater.contracts.model import Dataset
from headwater.errors import RetryableError, TerminalError
from headwater.lake import commits
from headwater.lake.bounds import literal
from headwater.lake.commits import CATALOG
from headwater.lake.conform import comparable, first_of, quoted
from headwater.lake.locks import table_lock
from headwater.lake.snapshots import head_id
from headwater.settings import get_settings

OPERATION = "_operation"
SOURCE_UNREACHABLE = ("Connection to", "connection attempt failed", "terminating connection", "the database system is")


def ingest_table(spark: SparkSession, catalog: Catalog, dataset: Dataset) -> dict[str, Any]:
    """Append what has changed in the source; returns the rows per operation."""
    with table_lock(f"bronze.{dataset.name}", purpose="ingest"):
        return _ingest(spark, catalog, dataset)


def _ingest(spark: SparkSession, catalog: Catalog, dataset: Dataset) -> dict[str, Any]:
    name = f"bronze.{dataset.name}"
    table = catalog.load_table(name)
    source = with_hash(_read_source(spark, dataset), dataset)
    changes = source if head_id(table) is None else _changes(source, _known(spark, dataset), dataset)
    rows = _as_bronze(changes, dataset, datetime.now(UTC)).persist()
    try:
        counts = {row[OPERATION]: row["count"] for row in rows.groupBy(OPERATION).count().collect()}
        done = {"dataset": dataset.name, "rows": sum(counts.values()), **_per_operation(counts)}
        if not counts:
            return done | {"snapshot_id": head_id(table)}
        snapshot = commits.append(catalog, rows, name, {})
        return done | {"snapshot_id": snapshot.snapshot_id}
    finally:
        rows.unpersist()


def with_hash(frame: DataFrame, dataset: Dataset) -> DataFrame:
    """The frame with `_record_hash` over the contract's source columns.

    xxhash64 skips nulls, so a value that moves to the next column would leave the hash as it was: each value goes in
    with a mark that says whether it is null.
    """
    values = (comparable(f"`{c.name}`", c.type) for c in dataset.source_columns)
    marked = ", ".join(f"{value}, {value} IS NULL" for value in values)
    return frame.selectExpr("*", f"lower(hex(xxhash64({marked}))) AS _record_hash")


def _read_source(spark: SparkSession, dataset: Dataset) -> DataFrame:
    """The source's rows with the contract's names and types."""
    settings = get_settings()
    address = f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_source_database}"
    options = {
        "url": f"jdbc:postgresql://{address}",
        "dbtable": dataset.source_name,
        "user": settings.postgres_user,
        "password": settings.postgres_password.get_secret_value(),
        "driver": "org.postgresql.Driver",
        "fetchsize": "20000",
        # A timestamp without a zone is UTC by agreement; otherwise it would be read in the JVM's own zone.
        "preferTimestampNTZ": "true",
    }
    try:
        frame = spark.read.format("jdbc").options(**options).load()
        present = frame.columns
    except Exception as error:
        raise _read_error(dataset, error) from error
    missing = [c.name for c in dataset.source_columns if c.name not in present]
    if missing:
        raise TerminalError(
            f"the source table lacks {', '.join(missing)}",
            where=dataset.source_name,
            remedy=f"add them to the source, or take them out of {dataset.path.name}",
        )
    return frame.selectExpr(*(f"cast(`{c.name}` AS {spark_type(c)}) AS `{c.name}`" for c in dataset.source_columns))


def _read_error(dataset: Dataset, error: Exception) -> Exception:
    text = str(error)
    if any(sign in text for sign in SOURCE_UNREACHABLE):
        remedy = "see whether Postgres runs (`headwater status`) and run the job again"
        return RetryableError("the source database does not answer", where=dataset.source_name, remedy=remedy)
    if "does not exist" in text:
        remedy = "load the source (`headwater source load`), or correct physicalName in the contract"
        return TerminalError("there is no such table in the source database", where=dataset.source_name, remedy=remedy)
    return error


def _known(spark: SparkSession, dataset: Dataset) -> DataFrame:
    """The newest row bronze has for each key."""
    bronze = spark.table(f"{CATALOG}.bronze.{dataset.name}")
    return first_of(bronze, ", ".join(quoted(dataset.primary_key)), "_ingested_at DESC")


def _changes(source: DataFrame, known: DataFrame, dataset: Dataset) -> DataFrame:
    """Rows to append: of the source where new or different, of bronze (marked as deletes) where gone.

    One full join, so that the source is read by one statement: two would see two states of it.
    """
    key, columns = list(dataset.primary_key), [*(c.name for c in dataset.source_columns), "_record_hash"]
    there = known.where(f"{OPERATION} <> 'delete'")
    row = f"struct({', '.join(quoted(columns))})"
    left, right = (frame.selectExpr(*quoted(key), f"{row} AS {side}") for frame, side in ((source, "s"), (there, "k")))
    joined = left.join(right, on=key, how="full_outer")
    differing = joined.where("s IS NULL OR k IS NULL OR s._record_hash <> k._record_hash")
    chosen = differing.selectExpr("coalesce(s, k) AS row", f"if(s IS NULL, 'delete', 'upsert') AS {OPERATION}")
    return chosen.selectExpr("row.*", OPERATION)


def _as_bronze(rows: DataFrame, dataset: Dataset, now: datetime) -> DataFrame:
    """The rows as bronze's columns."""
    system = literal(dataset.source_system)
    frame = rows if OPERATION in rows.columns else rows.selectExpr("*", f"'upsert' AS {OPERATION}")
    frame = frame.selectExpr("*", f"{system} AS _source_system", f"{literal(now)} AS _ingested_at")
    return frame.selectExpr(*quoted([c.name for c in bronze_columns(dataset)]))


def _per_operation(counts: dict[str, int]) -> dict[str, int]:
    names: Sequence[str] = ("upsert", "delete")
    return {f"rows_{name}": counts.get(name, 0) for name in names}
