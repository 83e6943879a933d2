"""How often a connector was started again by the supervisor, and whether it may be: a row in Postgres (database
`headwater`, table `connector_restarts`), so that budget and pauses outlive whoever counts them. All times are
Postgres's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg.rows import class_row

from headwater.database.creating import create_once
from headwater.settings import Settings
from headwater.streaming import lease_rows

_TABLE = """
CREATE TABLE IF NOT EXISTS connector_restarts (
    connector text PRIMARY KEY,
    restarts integer NOT NULL DEFAULT 0,
    restarted_at timestamptz,
    restart_due timestamptz,
    reason text NOT NULL DEFAULT '',
    given_up text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN connector_restarts.restarts IS 'How often the supervisor has started it again since it last ran well';
COMMENT ON COLUMN connector_restarts.restart_due IS 'Not before this';
COMMENT ON COLUMN connector_restarts.given_up IS 'Why the supervisor does not start it any more';
"""
_ROW = """
    SELECT connector, restarts, restarted_at, restart_due, reason, given_up, now() AS now
    FROM connector_restarts WHERE connector = %s
"""


@dataclass(frozen=True, slots=True)
class Restarts:
    """One connector's row; `reason` is that of the last restart, `now` Postgres's clock when it was read."""

    connector: str
    restarts: int = 0
    restarted_at: datetime | None = None
    restart_due: datetime | None = None
    reason: str = ""
    given_up: str = ""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def said(self) -> str:
        """For people, or nothing where it was not restarted."""
        if self.given_up:
            return self.given_up
        return f"{self.restarts} by the supervisor, the last because of: {self.reason}" if self.restarts else ""

    def well_since(self, seconds: float) -> bool:
        """Whether the last restart is so long ago."""
        return self.restarted_at is not None and (self.now - self.restarted_at).total_seconds() > seconds


@contextmanager
def connected(settings: Settings) -> Iterator[psycopg.Connection]:
    """A connection for the block, the table made. Raises `LeaseUnreachable` where Postgres does not answer."""
    with lease_rows.connected(settings) as connection:
        create_once(connection, "connector_restarts", _TABLE)
        yield connection


def read(connection: psycopg.Connection, connector: str) -> Restarts:
    """The row; one with nothing in it for a connector that was never restarted."""
    with connection.cursor(row_factory=class_row(Restarts)) as cursor:
        return cursor.execute(_ROW, (connector,)).fetchone() or Restarts(connector)


def count(connection: psycopg.Connection, row: Restarts, pause: timedelta, reason: str) -> bool:
    """Take one from the budget; False where somebody else did so since the row was read."""
    connection.execute(
        "INSERT INTO connector_restarts (connector) VALUES (%s) ON CONFLICT DO NOTHING", (row.connector,)
    )
    query = """
        UPDATE connector_restarts
        SET restarts = restarts + 1, restarted_at = now(), restart_due = now() + %s, reason = %s
        WHERE connector = %s AND restarts = %s
    """
    return connection.execute(query, (pause, reason, row.connector, row.restarts)).rowcount == 1


def give_up(connection: psycopg.Connection, connector: str, reason: str) -> None:
    """Record why the connector is not started again."""
    query = """
        INSERT INTO connector_restarts (connector, given_up) VALUES (%s, %s)
        ON CONFLICT (connector) DO UPDATE SET given_up = excluded.given_up
    """
    connection.execute(query, (connector, reason))


def forgive(connection: psycopg.Connection, connector: str) -> None:
    """Give the connector its whole budget again."""
    connection.execute("DELETE FROM connector_restarts WHERE connector = %s", (connector,))
