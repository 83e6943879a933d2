"""History (SCD2): from what is known about a key, in whatever order it came, to versions that follow each other.

The timeline of a key is worked out anew from the versions silver has and the rows of the batch, so a late version
finds its place: it closes the one before it and is closed by the one after. A version holds from the time the source
gives it (the first one from 1900-01-01) up to the next one's. A delete is a version too, a tombstone with the last
known values, from when it was noticed; it is never current. A source row that comes again with the time of a version
that is there corrects that version.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from headwater.contracts.layers import INGESTED_AT, silver_columns
from headwater.contracts.model import Dataset
from headwater.contracts.types import Primitive
from headwater.lake.conform import IS_DELETED, first_of, newest_first, order_columns, quoted
from headwater.lake.merge import GONE

BEGINNING = "TIMESTAMP'1900-01-01 00:00:00'"
END = "TIMESTAMP'9999-12-31 00:00:00'"
KEY_LENGTH = 32
"""Hex digits of SHA-256 that `_version_key` keeps: 128 bits."""


def version_time(dataset: Dataset) -> str:
    """The column that says from when a version holds: the contract's first time of order, else the time of arrival."""
    own = {c.name for c in dataset.columns if c.type is Primitive.TIMESTAMP}
    if dataset.event_time in own:
        return str(dataset.event_time)
    return next((name for name in dataset.order_by_newest if name in own), INGESTED_AT)


def timeline(events: DataFrame, dataset: Dataset) -> DataFrame:
    """All versions of the keys in `events` (silver's columns without those of history), as silver's columns.

    `events` holds what silver knows of these keys and what has come; repeats and any order are allowed.
    """
    key, time = ", ".join(quoted(dataset.primary_key)), f"`{version_time(dataset)}`"
    if IS_DELETED not in events.columns:
        events = events.selectExpr("*", f"false AS {IS_DELETED}")
    single = first_of(events, f"{key}, {time}, {IS_DELETED}", newest_first_in_silver(dataset))
    order = ", ".join(dict.fromkeys((time, *quoted(order_columns(dataset)), IS_DELETED)))
    begun = single.selectExpr(
        "*",
        f"if({IS_DELETED}, greatest({time}, {INGESTED_AT}), {time}) AS _begin",
        f"lead({time}) OVER (PARTITION BY {key} ORDER BY {order}) AS _next",
        f"lag({IS_DELETED}) OVER (PARTITION BY {key} ORDER BY {order}) AS _after_delete",
    )
    # A tombstone gives way to a row that the source says was there again before the delete was noticed.
    kept = begun.where(f"NOT ({IS_DELETED} AND (coalesce(_next <= _begin, false) OR coalesce(_after_delete, false)))")
    numbered = kept.selectExpr(
        "*",
        f"row_number() OVER (PARTITION BY {key} ORDER BY _begin, {order}) AS _number",
        f"coalesce(lead(_begin) OVER (PARTITION BY {key} ORDER BY _begin, {order}), {END}) AS valid_to",
    )
    dated = numbered.selectExpr("*", f"if(_number = 1, {BEGINNING}, _begin) AS valid_from").where(
        "valid_from < valid_to"
    )
    versions = dated.selectExpr("*", f"valid_to = {END} AND NOT {IS_DELETED} AS is_current", f"{key_of(dataset)}")
    return versions.selectExpr(*quoted([c.name for c in silver_columns(dataset)]))


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
