"""What a silver build has to read: the appends to bronze since the recorded snapshot, and what they amount to.

Where the recorded snapshot is no longer reachable (expired too early), a stream goes on from the Kafka offsets that
silver recorded beside it, and other datasets read all of bronze; both are told in the log, and both are safe, because
what silver has already seen changes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pyiceberg.table import Table
from pyspark.sql import DataFrame, SparkSession, functions

from headwater.contracts.layers import ATTEMPT, OFFSET, PARTITION
from headwater.contracts.model import Dataset, Severity
from headwater.lake import lateness
from headwater.lake.bounds import Bounds, bounded_columns, bounds_of, group_expression
from headwater.lake.changes import AppendRange, InputExpired, appended_since
from headwater.lake.commits import CATALOG
from headwater.lake.conform import ACCEPTED_ROW, IS_DELETED, quoted
from headwater.lake.event_time import EventTime
from headwater.lake.snapshots import (
    INPUT_OFFSETS_PREFIX,
    ancestry,
    input_properties,
    nearest_properties,
    properties_of,
    row_count,
)
from headwater.streaming.ledger import OFFSETS, TOPIC_ID

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of bronze to be read, after snapshot `start` up to snapshot `end`.

    `origin` says how they were found: snapshots, offsets, everything, or range (of dates).
    """

    frame: DataFrame
    start: int | None
    end: int
    rows: int
    origin: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What a conformed batch amounts to; `bounds` are those of the rows that were asked for.

    `warned` counts the accepted rows that break each rule of severity warning; `events` is what it brought of a stream.
    """

    rows: int
    refused: int
    highest_attempt: int
    bounds: Bounds
    warned: Mapping[str, int] = field(default_factory=dict)
    events: EventTime = field(default_factory=EventTime)


def read_batch(spark: SparkSession, dataset: Dataset, bronze: Table, reader: Table, since: int | None) -> Batch | None:
    """The rows that `reader` has yet to see, having read up to snapshot `since`; None where nothing was appended."""
    name = f"{CATALOG}.bronze.{dataset.name}"
    try:
        appended = appended_since(bronze, since)
    except InputExpired:
        return _read_without_snapshot(spark, dataset, bronze, reader, name)
    if appended.is_empty or appended.end is None:
        return None
    origin = "everything" if since is None else "snapshots"
    return Batch(read_appends(spark, name, appended), since, appended.end, appended.rows, origin)


def nothing_new(bronze: Table, since: int | None) -> bool:
    """Whether nothing was appended after snapshot `since`, by metadata; False where that has expired."""
    try:
        return appended_since(bronze, since).is_empty
    except InputExpired:
        return False


def read_appends(spark: SparkSession, name: str, appended: AppendRange) -> DataFrame:
    """The rows of a range of appends; all of the table at `end` where the range has no start."""
    if appended.start is None:
        return spark.read.option("versionAsOf", str(appended.end)).table(name)
    options = {"start-snapshot-id": str(appended.start), "end-snapshot-id": str(appended.end)}
    return spark.read.options(**options).table(name)


def summarize(
    conformed: DataFrame, dataset: Dataset, bounded: str = ACCEPTED_ROW, mark: datetime | None = None
) -> Summary:
    """Count the rows and the refused ones, and find the ranges of partition and keys of the `bounded` rows.

    Events before the watermark `mark` are counted as late.
    """
    columns = bounded_columns(dataset)
    ranges = [
        f"{how}(if({bounded}, {name}, null)) AS {how}_{i}"
        for i, name in enumerate(quoted(columns))
        for how in ("min", "max")
    ]
    warnings = [rule for rule in dataset.row_rules if rule.severity is Severity.WARNING]
    warned = [
        f"count_if({ACCEPTED_ROW} AND NOT {IS_DELETED} AND NOT coalesce({rule.expression}, false)) AS warned_{i}"
        for i, rule in enumerate(warnings)
    ]
    attempt = f"max({ATTEMPT})" if dataset.streamed else "0"
    counts = [
        "count(*) AS n",
        f"count_if(NOT {ACCEPTED_ROW}) AS refused",
        f"count_if({bounded}) AS bounded",
        f"coalesce({attempt}, 0) AS attempt",
        *lateness.counts(dataset, mark),
    ]
    grouped = conformed.selectExpr("*", f"{group_expression(dataset)} AS _group").groupBy("_group")
    rows = grouped.agg(*(functions.expr(text) for text in counts + warned + ranges)).collect()
    groups = [[(row[f"min_{i}"], row[f"max_{i}"]) for i in range(len(columns))] for row in rows if row["bounded"]]
    return Summary(
        rows=sum(row["n"] for row in rows),
        refused=sum(row["refused"] for row in rows),
        highest_attempt=max((row["attempt"] for row in rows), default=0),
        bounds=bounds_of(columns, groups),
        warned={rule.name: sum(row[f"warned_{i}"] for row in rows) for i, rule in enumerate(warnings)},
        events=lateness.of_rows(dataset, rows),
    )


def position_properties(bronze: Table, input_name: str, end: int) -> dict[str, str]:
    """The summary keys that say silver has read its input up to snapshot `end`."""
    properties = input_properties({input_name: end})
    for snapshot in ancestry(bronze, start=end):
        told = properties_of(snapshot)
        if OFFSETS in told:
            position = {"topic_id": told.get(TOPIC_ID), "offsets": json.loads(told[OFFSETS])}
            return properties | {f"{INPUT_OFFSETS_PREFIX}{input_name}": json.dumps(position, separators=(",", ":"))}
    return properties


def _read_without_snapshot(
    spark: SparkSession, dataset: Dataset, bronze: Table, reader: Table, name: str
) -> Batch | None:
    appended = appended_since(bronze, None)
    if appended.end is None:
        return None
    frame, rows = read_appends(spark, name, appended), row_count(bronze) or 0
    key = f"{INPUT_OFFSETS_PREFIX}bronze.{dataset.name}"
    told = nearest_properties(reader, key).get(key)
    position = json.loads(told) if told else None
    if position and position["topic_id"] == nearest_properties(bronze, TOPIC_ID).get(TOPIC_ID):
        log.warning("%s: the snapshot that was read has expired; going on from offsets %s", name, position["offsets"])
        return Batch(frame.where(_beyond(position["offsets"])), None, appended.end, rows, "offsets")
    log.warning("%s: the snapshot that was read has expired; reading all of it (%d rows)", name, rows)
    return Batch(frame, None, appended.end, rows, "everything")


def _beyond(offsets: dict[str, int]) -> str:
    """Rows behind these offsets, of partitions that are not named, and all that were replayed."""
    later = [f"({PARTITION} = {partition} AND {OFFSET} >= {offset})" for partition, offset in offsets.items()]
    known = ", ".join(offsets) or "-1"
    return " OR ".join([*later, f"{PARTITION} NOT IN ({known})", f"{ATTEMPT} > 0"])
