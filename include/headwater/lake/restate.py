"""Restate a range of dates of silver from bronze, by the contract as it is today.

All rows of bronze whose event time lies in the range are judged anew, whenever they arrived. For each of their keys
silver then says what a fresh build would say, unless silver's row is newer than the range (a live correction): that
stays. Rows that bronze no longer has stay too: bronze is kept for days, silver for years. Run twice, the second run
changes nothing. The position of the regular build is carried on unchanged.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from pyiceberg.catalog import Catalog
from pyspark.sql import DataFrame, SparkSession

from headwater.contracts.layers import RULE
from headwater.contracts.model import Dataset
from headwater.errors import ConfigurationError
from headwater.lake import commits, merge
from headwater.lake.batch import Batch, read_appends
from headwater.lake.bounds import literal
from headwater.lake.changes import AppendRange
from headwater.lake.commits import CATALOG
from headwater.lake.conform import ACCEPTED_ROW, first_of, keyed_row, newest_first, order_struct, quoted, standing
from headwater.lake.event_time import event_time
from headwater.lake.history import version_time
from headwater.lake.locks import table_lock
from headwater.lake.refusals import one_per_place, refused_name, restate_refused
from headwater.lake.silver import judge_silver, judged
from headwater.lake.silver_write import Tables, run_merge, silver_names, write_history
from headwater.lake.snapshots import INPUT_OFFSETS_PREFIX, INPUT_PREFIX, head_id, nearest_properties
from headwater.lake.truncation import TRUNCATED_PREFIX, buried


def restate(spark: SparkSession, catalog: Catalog, dataset: Dataset, first: date, last: date) -> dict[str, Any]:
    """Restate the dates from `first` up to, not including, `last`; returns what was read and changed."""
    if first >= last:
        raise ConfigurationError(f"the range from {first} to {last} is empty", where="--from/--to")
    with table_lock(f"silver.{dataset.name}", purpose="restate"):
        return _restate(spark, catalog, dataset, first, last)


def _restate(spark: SparkSession, catalog: Catalog, dataset: Dataset, first: date, last: date) -> dict[str, Any]:
    tables = Tables.load(catalog, dataset)
    end = head_id(tables.bronze)
    done: dict[str, Any] = {"dataset": dataset.name, "from": first.isoformat(), "to": last.isoformat()}
    if end is None:
        return done | {"mode": "unchanged", "rows": 0, "snapshot_id": head_id(tables.silver)}
    time = f"`{version_time(dataset)}`"
    bronze = read_appends(spark, f"{CATALOG}.bronze.{dataset.name}", AppendRange(None, end))
    dated = standing(bronze.where(f"{time} >= {literal(first)} AND {time} < {literal(last)}"), bronze)
    properties = nearest_properties(tables.silver, INPUT_PREFIX)
    properties |= nearest_properties(tables.silver, INPUT_OFFSETS_PREFIX)
    properties |= event_time(tables.silver).properties()
    properties |= nearest_properties(tables.silver, TRUNCATED_PREFIX)
    with judged(Batch(dated, None, end, 0, "range"), dataset, keyed_row(dataset)) as (rows, summary):
        done |= {"rows_read": summary.rows, "rows_refused": summary.refused}
        if summary.rows == 0:
            return done | {"mode": "unchanged", "rows": 0, "snapshot_id": head_id(tables.silver)}
        _restate_refused(spark, catalog, dataset, rows)
        if dataset.history:
            keyed = rows.where(keyed_row(dataset))
            accepted, refused = keyed.where(ACCEPTED_ROW), keyed.where(f"NOT ({ACCEPTED_ROW})")
            done |= write_history(spark, catalog, tables, accepted, summary, properties, refused)
        else:
            chosen = buried(_chosen(rows, dataset), tables.truncates)
            done |= run_merge(spark, catalog, tables, chosen, merge.restate, summary.bounds, properties)
    return done | judge_silver(spark, catalog, tables, summary)


def _chosen(rows: DataFrame, dataset: Dataset) -> DataFrame:
    """One row per key: the newest that is accepted, else the newest; beside it the orders of all refused ones."""
    key = ", ".join(quoted(dataset.primary_key))
    order = order_struct(dataset)
    marked = rows.where(keyed_row(dataset)).selectExpr(
        "*",
        f"{ACCEPTED_ROW} AS {merge.ACCEPTED}",
        f"collect_set(if({ACCEPTED_ROW}, null, {order})) OVER (PARTITION BY {key}) AS {merge.REFUSED_ORDERS}",
    )
    best = first_of(marked, key, f"{merge.ACCEPTED} DESC, {newest_first(dataset)}")
    return best.selectExpr(*silver_names(dataset), merge.ACCEPTED, merge.REFUSED_ORDERS)


def _restate_refused(spark: SparkSession, catalog: Catalog, dataset: Dataset, rows: DataFrame) -> None:
    """Make the list of refused rows of the range what today's rules say."""
    name, view = refused_name(dataset), f"judged_{dataset.name}"
    table = catalog.load_table(name)
    if head_id(table) is None and rows.where(f"size({RULE.name}) > 0").isEmpty():
        return
    one_per_place(rows, dataset).createOrReplaceTempView(view)
    try:
        sql = restate_refused(dataset, f"{CATALOG}.{name}", view)
        commits.execute(catalog, spark, name, sql, nearest_properties(table, INPUT_PREFIX))
    finally:
        spark.catalog.dropTempView(view)
