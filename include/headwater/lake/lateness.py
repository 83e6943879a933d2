"""Late events of a batch (see `event_time`), counted in the pass that counts its rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, functions

from headwater.contracts.layers import ATTEMPT
from headwater.contracts.model import Dataset, Kind
from headwater.lake.bounds import literal
from headwater.lake.conform import ACCEPTED_ROW
from headwater.lake.event_time import BEHIND, LATE_DAYS, EventTime

MOST_DAYS = 366
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def counts(dataset: Dataset, mark: datetime | None) -> list[str]:
    """SQL aggregates over a conformed batch: `newest`, and `late_<how>` for each of `BEHIND`."""
    if dataset.kind is not Kind.STREAM:
        return []
    time = f"`{dataset.event_time}`"
    found = [f"unix_micros(max(if({ACCEPTED_ROW}, {time}, null))) AS newest"]
    upper = mark
    for name, behind in BEHIND.items():
        lower = mark - behind if mark is not None and behind is not None else None
        found.append(f"count_if({_between(time, lower, upper)}) AS late_{name}")
        upper = lower
    return found


def _between(time: str, lower: datetime | None, upper: datetime | None) -> str:
    if upper is None:
        return "false"
    from_lower = "" if lower is None else f" AND {time} >= {literal(lower)}"
    return f"{ACCEPTED_ROW} AND {ATTEMPT} = 0 AND {time} < {literal(upper)}{from_lower}"


def of_rows(dataset: Dataset, rows: list[Any]) -> EventTime:
    """What the aggregates of `counts` amount to, over groups."""
    if dataset.kind is not Kind.STREAM:
        return EventTime()
    newest = max((row["newest"] for row in rows if row["newest"] is not None), default=None)
    return EventTime(
        None if newest is None else EPOCH + newest * MICROSECOND,
        {name: sum(row[f"late_{name}"] for row in rows) for name in BEHIND},
    )


def late_days(dataset: Dataset, rows: DataFrame, mark: datetime | None) -> dict[str, str]:
    """The summary key that says to which days the late events of a batch belong; of more than a year's, the newest."""
    if mark is None:
        return {}
    time = f"`{dataset.event_time}`"
    late = rows.where(_between(time, None, mark)).groupBy(functions.expr(f"to_date({time}) AS day")).count()
    days = late.orderBy("day", ascending=False).limit(MOST_DAYS).collect()
    return {LATE_DAYS: json.dumps({row["day"].isoformat(): row["count"] for row in days}, separators=(",", ":"))}
