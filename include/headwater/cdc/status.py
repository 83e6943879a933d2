"""How change data capture does: connector, slot, heartbeat, snapshots, and what arrived last in each topic."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from headwater.cdc import restarts
from headwater.cdc.connector import HEARTBEAT_SECONDS, Capture, captured_tables
from headwater.cdc.notifications import TABLE_READ, Notification, Notifications
from headwater.cdc.restarts import Restarts
from headwater.cdc.source import connected, lost
from headwater.cdc.worker import State, Worker
from headwater.kafka import client_config
from headwater.settings import Settings
from headwater.streaming.pauses import postponed

TIMEOUT_SECONDS = 10.0
_SPECS: Any = OffsetSpec  # its methods have no types
LATE_SECONDS = 12 * HEARTBEAT_SECONDS
"""A heartbeat older than that comes from a connector that stands still."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The replication slot. Lag is the log that was not confirmed yet, retained the log that the source must keep."""

    name: str
    active: bool
    lag_bytes: int
    retained_bytes: int
    wal_status: str


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    """One captured dataset: records in its topic (tombstones too), time of the last one, state of its last snapshot."""

    name: str
    table: str
    topic: str
    changes: int
    last_change: str
    snapshot: str


@dataclass(frozen=True, slots=True)
class Report:
    """All of it; `heartbeat_seconds` is the age of the last one that came through the log, None where none did.

    `lacks` is what somebody took away from the source since `cdc apply` made it: changes may pass unseen without it.
    `restarts` are the supervisor's, None where it never had to.
    """

    connector: str
    state: State | None
    slot: Slot | None
    heartbeat_seconds: float | None
    datasets: tuple[DatasetStatus, ...]
    lacks: tuple[str, ...] = ()
    restarts: Restarts | None = None

    @property
    def good(self) -> bool:
        """Whether it runs, the slot is in use and not lost, and the source has what was made in it."""
        runs = self.state is not None and self.state.running
        return runs and self.slot is not None and self.slot.wal_status != "lost" and not self.lacks

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"good": self.good, "cause": self.state.cause if self.state else ""}

    def lines(self) -> list[tuple[str, str]]:
        """What is not about a single dataset, for a person."""
        state = self.state
        found = [("connector", f"{self.connector}: {state.connector if state else 'not there; `headwater cdc apply`'}")]
        if state:
            found.append(("task", ", ".join(state.tasks) or "none"))
        if state and state.failed:
            found.append(("cause", state.cause))
        if self.restarts is not None and self.restarts.said:
            found.append(("restarts", "; ".join(filter(None, (self.restarts.said, postponed(self.restarts))))))
        if self.slot:
            use = "in use" if self.slot.active else "not in use"
            sizes = f"{self.slot.lag_bytes:,} bytes behind, {self.slot.retained_bytes:,} bytes of log kept"
            found.append(("slot", f"{self.slot.name}, {use}, {sizes} ({self.slot.wal_status})"))
        if self.heartbeat_seconds is not None:
            late = ", late" if self.heartbeat_seconds > LATE_SECONDS else ""
            found.append(("heartbeat", f"{self.heartbeat_seconds:.0f} s ago{late}"))
        if self.lacks:
            remedy = "`headwater cdc apply`; changes may have passed unseen"
            found.append(("source", f"lacks: {'; '.join(self.lacks)} → {remedy}"))
        return found


def look(settings: Settings, capture: Capture) -> Report:
    """Ask worker, source and broker. Raises what they raise where they are away."""
    with Worker(settings) as worker:
        state = worker.state(capture.connector)
        tables = captured_tables(worker.config(capture.connector) or {})
    with connected(settings, capture.database) as connection:
        slot, heartbeat = slot_of(connection, capture), heartbeat_of(connection, capture)
        lacks = tuple(lost(connection, capture, tables)) if slot is not None else ()
    snapshots = _snapshots(settings, capture)
    admin = AdminClient(dict(client_config(settings, log_level=0)))
    datasets = []
    for one in capture.datasets:
        changes, last = _topic(admin, one.topic)
        said = snapshots.get(one.source_name, "")
        datasets.append(DatasetStatus(one.name, one.source_name, one.topic, changes, last, said))
    with restarts.connected(settings) as connection:
        restarted = restarts.read(connection, capture.connector)
    counted = restarted if restarted.restarts or restarted.given_up else None
    return Report(capture.connector, state, slot, heartbeat, tuple(datasets), lacks, counted)


def slot_of(connection: psycopg.Connection, capture: Capture) -> Slot | None:
    """The connector's replication slot, None where there is none."""
    query = """
        SELECT slot_name, active, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
               pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint, wal_status
        FROM pg_replication_slots WHERE slot_name = %s
    """
    row = connection.execute(query, (capture.slot,)).fetchone()
    return Slot(row[0], row[1], int(row[2] or 0), int(row[3] or 0), str(row[4])) if row else None


def heartbeat_of(connection: psycopg.Connection, capture: Capture) -> float | None:
    """How many seconds ago the connector made its last heartbeat, None where it never did."""
    if connection.execute("SELECT to_regclass('headwater_cdc.heartbeat') IS NOT NULL").fetchone() != (True,):
        return None
    query = "SELECT extract(epoch FROM now() - at)::float FROM headwater_cdc.heartbeat WHERE slot = %s"
    row = connection.execute(query, (capture.slot,)).fetchone()
    return float(row[0]) if row else None


def _snapshots(settings: Settings, capture: Capture) -> dict[str, str]:
    """The last thing that the connector told of each table's snapshot."""
    with Notifications(settings, capture) as notifications:
        told = {one.table: one for one in notifications.read(0, notifications.end()) if one.table}
    return {table: _said(one) for table, one in told.items()}


def _said(one: Notification) -> str:
    kind = one.about.lower()
    if one.step == TABLE_READ:
        return f"{kind}: {one.rows:,} rows read by {one.at:%Y-%m-%d %H:%M:%S}"
    key = one.facts.get("last_processed_key")
    return f"{kind}: {one.step.lower().replace('_', ' ')}{f', up to key {key}' if key else ''}"


def _topic(admin: AdminClient, topic: str) -> tuple[int, str]:
    """Records of the topic, and the time of its newest; none where it is not there."""
    try:
        partitions = admin.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic].partitions
        low, high, newest = (
            _offsets(admin, topic, list(partitions), spec)
            for spec in (_SPECS.earliest(), _SPECS.latest(), _SPECS.max_timestamp())
        )
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return 0, "no topic"
        raise
    stamp = max((found.timestamp for found in newest), default=-1)
    count = sum(found.offset for found in high) - sum(found.offset for found in low)
    return count, f"{datetime.fromtimestamp(stamp / 1000, UTC):%Y-%m-%d %H:%M:%S}" if stamp > 0 else ""


def _offsets(admin: AdminClient, topic: str, partitions: list[int], spec: OffsetSpec) -> list[Any]:
    asked = {TopicPartition(topic, partition): spec for partition in partitions}
    return [one.result() for one in admin.list_offsets(asked, request_timeout=TIMEOUT_SECONDS).values()]
