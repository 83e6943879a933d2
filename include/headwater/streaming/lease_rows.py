"""The lease of each stream as a row in Postgres (database `headwater`, table `stream_leases`): who may write it, what
it does, and what people and the supervisor want of it.

The holder (`lease.Lease`) writes its own columns, only under its own token; `wanted` and the restarts belong to whoever
supervises. All times are Postgres's own, so clocks of hosts do not matter. Tokens begin at the seconds since 1970, so
that those of a database that was made anew are above all that catalog and ClickHouse have seen.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import psutil
import psycopg
from psycopg.rows import class_row

from headwater.database.creating import create_once
from headwater.errors import RetryableError
from headwater.settings import Settings

_TABLES = """
CREATE SEQUENCE IF NOT EXISTS stream_tokens;
SELECT setval('stream_tokens', greatest(last_value, extract(epoch FROM now())::bigint)) FROM stream_tokens;
CREATE TABLE IF NOT EXISTS stream_leases (
    dataset text PRIMARY KEY,
    token bigint NOT NULL DEFAULT 0,
    held boolean NOT NULL DEFAULT false,
    host text NOT NULL DEFAULT '',
    pid integer NOT NULL DEFAULT 0,
    process_started double precision NOT NULL DEFAULT 0,
    taken_at timestamptz,
    expires_at timestamptz,
    beat_at timestamptz,
    state text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    report jsonb NOT NULL DEFAULT '{}',
    wanted text NOT NULL DEFAULT 'running',
    restarts integer NOT NULL DEFAULT 0,
    restarted_at timestamptz,
    restart_due timestamptz,
    given_up text NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS stream_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset text NOT NULL,
    at timestamptz NOT NULL,
    found text NOT NULL,
    reason text NOT NULL,
    did text NOT NULL,
    note text NOT NULL,
    by text NOT NULL,
    seconds double precision NOT NULL
);
CREATE INDEX IF NOT EXISTS stream_events_newest ON stream_events (dataset, at);
COMMENT ON TABLE stream_events IS 'What supervisors did about the streams, and why';
COMMENT ON COLUMN stream_leases.token IS 'Grows with each holder; a commit under an older one is refused';
COMMENT ON COLUMN stream_leases.held IS 'False where the holder has given it back';
COMMENT ON COLUMN stream_leases.report IS 'What the holder tells: offsets, lag, last progress, the live table';
COMMENT ON COLUMN stream_leases.wanted IS 'What people want: running, drained or stopped';
COMMENT ON COLUMN stream_leases.restarts IS 'How often the supervisor has started it again since it last ran well';
COMMENT ON COLUMN stream_leases.restart_due IS 'Not before this';
COMMENT ON COLUMN stream_leases.given_up IS 'Why the supervisor does not start it any more';
"""
_ROWS = """
    SELECT dataset, token, held, host, pid, process_started, taken_at, expires_at, beat_at, state, reason, report,
           wanted, restarts, restarted_at, restart_due, given_up, now() AS now
    FROM stream_leases WHERE dataset = ANY(%s)
"""
CONNECT_SECONDS = 5


class Wanted(StrEnum):
    """What people want of a stream."""

    RUNNING = "running"
    DRAINED = "drained"
    STOPPED = "stopped"


class LeaseUnreachable(RetryableError):
    """The Postgres of the leases does not answer, so nobody knows who may write."""


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One stream's row; `now` is Postgres's clock when it was read. A stream that never ran has token 0."""

    dataset: str
    token: int = 0
    held: bool = False
    host: str = ""
    pid: int = 0
    process_started: float = 0.0
    taken_at: datetime | None = None
    expires_at: datetime | None = None
    beat_at: datetime | None = None
    state: str = ""
    reason: str = ""
    report: dict[str, Any] = field(default_factory=dict)
    wanted: str = Wanted.RUNNING
    restarts: int = 0
    restarted_at: datetime | None = None
    restart_due: datetime | None = None
    given_up: str = ""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def alive(self) -> bool:
        """Whether somebody holds it: not given back, not expired, its process not known to be gone."""
        return self.held and self.expires_at is not None and self.expires_at > self.now and not self.gone

    @property
    def here(self) -> bool:
        """Whether the last holder is a process of this host."""
        return bool(self.pid) and self.host == socket.gethostname()

    @property
    def gone(self) -> bool:
        """Whether the holder was a process of this host that has ended; of another host nobody can say."""
        return self.here and not process_lives(self.pid, self.process_started)

    @property
    def holder(self) -> str:
        """The holder, for people."""
        return f"process {self.pid} on {self.host}" if self.pid else "nobody"

    def age(self, moment: datetime | None) -> timedelta:
        """How long ago something was, by Postgres's clock; what never was is infinitely long ago."""
        return timedelta.max if moment is None else self.now - moment

    def seconds_since(self, moment: datetime | None) -> float | None:
        """The same in seconds; None for what never was."""
        return None if moment is None else round(self.age(moment).total_seconds(), 1)

    def told(self, name: str) -> datetime | None:
        """A time that the holder told; None where it has not."""
        told = self.report.get(name)
        return datetime.fromisoformat(told) if told else None


def process_lives(pid: int, started: float) -> bool:
    """Whether this very process still runs; a pid that was given out again does not count, nor a zombie."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def connect(settings: Settings, name: str) -> psycopg.Connection:
    """A connection to the leases, the table made; statements are bounded. Raises `LeaseUnreachable`."""
    try:
        connection = psycopg.connect(
            settings.postgres_dsn(settings.postgres_platform_database),
            autocommit=True,
            application_name=name[:63],
            connect_timeout=CONNECT_SECONDS,
            options="-c statement_timeout=10s -c lock_timeout=5s",
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )
        create_once(connection, "stream_events", _TABLES)
    except psycopg.OperationalError as error:
        raise unreachable(settings, error) from error
    return connection


def unreachable(settings: Settings, error: Exception) -> LeaseUnreachable:
    """The error for a Postgres that does not answer."""
    return LeaseUnreachable(
        f"Postgres does not answer: {str(error).strip().partition(chr(10))[0]}",
        where=f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_platform_database}",
        remedy="see `headwater status`, then `headwater up postgres`",
    )


@contextmanager
def connected(settings: Settings) -> Iterator[psycopg.Connection]:
    """A connection for the block. Raises `LeaseUnreachable`."""
    with connect(settings, "headwater stream supervision") as connection:
        try:
            yield connection
        except psycopg.OperationalError as error:
            raise unreachable(settings, error) from error


def read_rows(settings: Settings, datasets: Sequence[str]) -> dict[str, LeaseRow]:
    """The rows of these streams, each with a row; a stream that never ran has one with token 0."""
    with connected(settings) as connection:
        return rows_of(connection, datasets)


def rows_of(connection: psycopg.Connection, datasets: Sequence[str]) -> dict[str, LeaseRow]:
    """The same over a connection at hand."""
    with connection.cursor(row_factory=class_row(LeaseRow)) as cursor:
        found = {row.dataset: row for row in cursor.execute(_ROWS, (list(datasets),))}
    return {name: found.get(name) or LeaseRow(name) for name in datasets}


def want(settings: Settings, datasets: Sequence[str], wanted: Wanted) -> None:
    """Say what people want of these streams. To want one to run forgives it what the supervisor gave up over."""
    with connected(settings) as connection:
        connection.cursor().executemany(
            "INSERT INTO stream_leases (dataset, wanted) VALUES (%s, %s) "
            "ON CONFLICT (dataset) DO UPDATE SET wanted = excluded.wanted",
            [(name, wanted.value) for name in datasets],
        )
        if wanted is Wanted.RUNNING:
            forgive(connection, datasets)


def forgive(connection: psycopg.Connection, datasets: Sequence[str]) -> None:
    """Give these streams their whole budget of restarts again."""
    connection.execute(
        "UPDATE stream_leases SET restarts = 0, restart_due = NULL, given_up = '' WHERE dataset = ANY(%s)",
        (list(datasets),),
    )


def count_restart(connection: psycopg.Connection, row: LeaseRow, pause: timedelta) -> bool:
    """Take one from the budget; the next restart is not due before `pause` from now.

    False where another has counted one since the row was read: the restart is that one's.
    """
    counted = connection.execute(
        "UPDATE stream_leases SET restarts = restarts + 1, restarted_at = now(), restart_due = now() + %s "
        "WHERE dataset = %s AND restarts = %s RETURNING 1",
        (pause, row.dataset, row.restarts),
    )
    return counted.fetchone() is not None


def give_up(connection: psycopg.Connection, dataset: str, reason: str) -> None:
    """Record why the stream is not started again."""
    connection.execute("UPDATE stream_leases SET given_up = %s WHERE dataset = %s", (reason, dataset))


def note_failure(connection: psycopg.Connection, row: LeaseRow, reason: str) -> None:
    """Record why a start came to nothing, where no holder lives to tell."""
    connection.execute(
        "UPDATE stream_leases SET reason = %s WHERE dataset = %s AND token = %s", (reason, row.dataset, row.token)
    )
