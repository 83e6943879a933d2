"""What supervisors did about the streams, and why: rows of `stream_events` (database `headwater`), for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import dict_row

from headwater.settings import Settings
from headwater.streaming.lease_rows import connected

KEPT = timedelta(days=30)
_INSERT = """
    INSERT INTO stream_events (dataset, at, found, reason, did, note, by, seconds)
    VALUES (%(dataset)s, now() - make_interval(secs => %(seconds)s),
            %(found)s, %(reason)s, %(did)s, %(note)s, %(by)s, %(seconds)s)
"""
_NEWEST = """
    SELECT dataset, at, found, reason, did, note, by, seconds FROM stream_events
    WHERE dataset = ANY(%s) AND at > now() - %s ORDER BY at, id
"""


@dataclass(frozen=True, slots=True)
class Event:
    """What was found of a stream, why, what was done, and what came of it (`note`: nothing where it worked).

    `by` is `look` (the DAG, or a person's `stream supervise`) or `watch`. `seconds` is the time from `at`, when it was
    noticed, until the stream was read again or that had failed.
    """

    dataset: str
    found: str
    reason: str
    did: str
    note: str
    by: str
    seconds: float
    at: datetime | None = None

    def facts(self) -> dict[str, Any]:
        """For `--json`."""
        told = {name: getattr(self, name) for name in ("found", "reason", "did", "note", "by", "seconds")}
        return {"at": self.at and self.at.isoformat(timespec="milliseconds"), **told}


def record(settings: Settings, events: Sequence[Event]) -> None:
    """Record what has just ended; what is older than a month goes. Raises `LeaseUnreachable`."""
    if not events:
        return
    with connected(settings) as connection:
        rows = [{"dataset": event.dataset, **event.facts()} for event in events]
        connection.cursor().executemany(_INSERT, rows)
        connection.execute("DELETE FROM stream_events WHERE at < now() - %s", (KEPT,))


def events_of(settings: Settings, datasets: Sequence[str], within: timedelta) -> dict[str, list[Event]]:
    """The events of these streams since then, the oldest first. Raises `LeaseUnreachable`."""
    found: dict[str, list[Event]] = {name: [] for name in datasets}
    with connected(settings) as connection, connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(_NEWEST, (list(datasets), within)):
            found[row["dataset"]].append(Event(**row))
    return found
