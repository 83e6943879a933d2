"""History (SCD2): from what is known about a key, in whatever order it came, to versions that follow each other.

The timeline of a key is worked out anew from the versions silver has and the rows of the batch, so a late version of a
stream finds its place: it closes the one before it and is closed by the one after. A version holds from the time the
source gives it (the first one from 1900-01-01) up to the next one's. A row of a source table with an older time than
the one read before is no late version: the source says so now, and the version holds from when that was read. A delete
is a version too, a tombstone with the last known values, from when it was noticed; it is never current. A row that
comes again with the time of the newest version (of a stream: of any) corrects that version.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, functions

from headwater.contracts.layers import COMMITTED_AT, INGESTED_AT, OPERATION, silver_columns
from headwater.contracts.model import Dataset, Kind
from headwater.contracts.types import Primitive
from headwater.lake.conform import IS_DELETED, comparable, first_of, newest_first, order_columns, quoted
from headwater.lake.merge import GONE

BEGINNING = "TIMESTAMP'1900-01-01 00:00:00'"
END = "TIMESTAMP'9999-12-31 00:00:00'"
KEY_LENGTH = 32
"""Hex digits of SHA-256 that `_version_key` keeps: 128 bits."""


def version_time(dataset: Dataset) -> str:
    """The column that says from when a version holds: the contract's first time of order, else the time of arrival."""
    if dataset.captured:
        return COMMITTED_AT
    own = {c.name for c in dataset.columns if c.type is Primitive.TIMESTAMP}
    if dataset.event_time in own:
        return str(dataset.event_time)
    return next((name for name in dataset.order_by_newest if name in own), INGESTED_AT)


def timeline(events: DataFrame, dataset: Dataset) -> DataFrame:
    """All versions of the keys in `events` (silver's columns without those of history), as silver's columns.

    `events` holds what silver knows of these keys and what has come; repeats and any order are allowed.
    """
    key = ", ".join(quoted(dataset.primary_key))
    if IS_DELETED not in events.columns:
        events = events.selectExpr("*", f"false AS {IS_DELETED}")
    if dataset.captured:
        events = without_confirmations(events, dataset)
    # What a transaction of the source has done and undone, nobody has seen.
    of_one_time = f"{key}, _begin" if dataset.captured else f"{key}, _begin, {IS_DELETED}"
    single = first_of(_begun(events, dataset), of_one_time, newest_first_in_silver(dataset))
    order = _in_order(dataset)
    told = single.selectExpr(
        "*",
        f"lead(if({IS_DELETED}, null, _begin)) IGNORE NULLS OVER (PARTITION BY {key} ORDER BY {order}) AS _next",
        f"lag({IS_DELETED}) OVER (PARTITION BY {key} ORDER BY {order}) AS _after_delete",
    )
    # A tombstone gives way to a row that the source says was there again before the delete was noticed.
    kept = told.where(f"NOT ({IS_DELETED} AND (coalesce(_next <= _begin, false) OR coalesce(_after_delete, false)))")
    numbered = kept.selectExpr(
        "*",
        f"row_number() OVER (PARTITION BY {key} ORDER BY _begin, {order}) AS _number",
        f"coalesce(lead(_begin) OVER (PARTITION BY {key} ORDER BY _begin, {order}), {END}) AS valid_to",
    )
    dated = numbered.selectExpr("*", f"if(_number = 1, {BEGINNING}, _begin) AS valid_from").where(
        "valid_from < valid_to"
    )
    versions = dated.selectExpr("*", f"valid_to = {END} AND NOT {IS_DELETED} AS is_current", f"{key_of(dataset)}")
    if dataset.captured:  # from when it holds, so that the next timeline comes to the same
        versions = versions.withColumn(COMMITTED_AT, functions.expr("_begin"))
    return versions.selectExpr(*quoted([c.name for c in silver_columns(dataset)]))


def without_confirmations(events: DataFrame, dataset: Dataset) -> DataFrame:
    """The events of a capture without the rows of snapshots that say what held before already."""
    key, order = ", ".join(quoted(dataset.primary_key)), _in_order(dataset)
    values = ", ".join(f"{comparable(f'`{c.name}`', c.type)} AS `{c.name}`" for c in dataset.columns)
    before = f"lag(struct(struct({values}) AS row, {IS_DELETED} AS gone)) OVER (PARTITION BY {key} ORDER BY {order})"
    told = events.selectExpr("*", f"{before} AS _before")
    same = f"_before.row <=> struct({values}) AND NOT _before.gone"
    return told.where(f"NOT ({OPERATION} = 'read' AND coalesce({same}, false))").drop("_before")


def _begun(events: DataFrame, dataset: Dataset) -> DataFrame:
    """The events with `_begin`, from when each holds.

    An event of a stream holds from its own time. A source table is read whole, so the row that was read last is what
    holds now: one whose time goes back (a restored backup) begins when it was read, behind the version before it; one
    with the same time as the row before it corrects that. So each row's beginning follows from those read before it.
    """
    time = f"`{version_time(dataset)}`"
    key = ", ".join(quoted(dataset.primary_key))
    if dataset.captured:
        # As the log has them; a clock that was set back makes no version begin before the one it follows.
        up_to_here = f"PARTITION BY {key} ORDER BY {_in_order(dataset)} ROWS UNBOUNDED PRECEDING"
        return events.selectExpr("*", f"max(coalesce({time}, {INGESTED_AT})) OVER ({up_to_here}) AS _begin")
    if dataset.kind is not Kind.TABLE:
        return events.selectExpr("*", f"{time} AS _begin")
    event = f"struct(coalesce({time}, {INGESTED_AT}) AS time, {INGESTED_AT} AS arrived, {IS_DELETED} AS deleted)"
    until_here = f"PARTITION BY {key} ORDER BY {_in_order(dataset)} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
    return (
        events.selectExpr("*", f"collect_list({event}) OVER ({until_here}) AS _until_here")
        .selectExpr("*", f"{_BEGIN} AS _begin")
        .drop("_until_here")
    )


_NOTHING_YET = "named_struct('time', null, 'alive_from', null, 'begin', null)"
_BEGIN = f"""aggregate(
    _until_here,
    cast({_NOTHING_YET} AS struct<time: timestamp, alive_from: timestamp, begin: timestamp>),
    (before, e) -> CASE
        WHEN e.deleted THEN named_struct('time', before.time, 'alive_from', before.alive_from,
            'begin', greatest(e.time, e.arrived, before.alive_from))
        WHEN before.alive_from IS NULL OR e.time > before.alive_from
            THEN named_struct('time', e.time, 'alive_from', e.time, 'begin', e.time)
        WHEN e.time = before.time
            THEN named_struct('time', e.time, 'alive_from', before.alive_from, 'begin', before.alive_from)
        ELSE named_struct('time', e.time,
            'alive_from', greatest(e.arrived, before.alive_from + INTERVAL 1 MICROSECOND),
            'begin', greatest(e.arrived, before.alive_from + INTERVAL 1 MICROSECOND))
    END,
    after -> after.begin)"""
"""From when the last row of a key holds of those read up to here. `alive_from` is the same of the last upsert."""


def _in_order(dataset: Dataset) -> str:
    """A SQL ORDER BY list, oldest first: of a source table as it was read or logged, else as things happened."""
    time = () if dataset.kind in (Kind.TABLE, Kind.CAPTURE) else (f"`{version_time(dataset)}`",)
    return ", ".join(dict.fromkeys((*time, *quoted(order_columns(dataset)), IS_DELETED)))


def key_of(dataset: Dataset) -> str:
    """The surrogate key: the first 32 hex digits of SHA-256 over the key's values and `valid_from`, `|` between."""
    parts = [f"cast({name} AS string)" for name in quoted(dataset.primary_key)]
    text = f"concat_ws('|', {', '.join(parts)}, date_format(valid_from, 'yyyy-MM-dd HH:mm:ss.SSSSSS'))"
    return f"substring(sha2({text}, 256), 1, {KEY_LENGTH}) AS _version_key"


def newest_first_in_silver(dataset: Dataset) -> str:
    """A SQL ORDER BY list, newest first, over columns that silver has (a stream's `_attempt` is settled before)."""
    return newest_first(dataset).replace(", `_attempt` DESC NULLS LAST", "")


def with_gone(new: DataFrame, existing: DataFrame, dataset: Dataset) -> DataFrame:
    """`new` versions, and those of `existing` whose key and `valid_from` are no longer among them, marked `_gone`."""
    at = [*dataset.primary_key, "valid_from"]
    gone = existing.join(new.select(*at), on=at, how="left_anti").select(*new.columns)
    return new.selectExpr("*", f"false AS {GONE}").unionByName(gone.selectExpr("*", f"true AS {GONE}"))


def without(frame: DataFrame, taken: DataFrame, columns: Sequence[str]) -> DataFrame:
    """The rows of `frame` that agree with none of `taken` in these columns (null agrees with null)."""
    row = f"struct({', '.join(quoted(columns))}) AS _row"
    out = taken.selectExpr(row).distinct().withColumnRenamed("_row", "_taken")
    same = functions.expr("_row <=> _taken")
    return frame.selectExpr("*", row).join(out, on=same, how="left_anti").drop("_row")
