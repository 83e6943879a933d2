"""One lock per table, shared by pipelines, restatement and maintenance.

A session-level advisory lock in Postgres (database `headwater`): whoever builds, restates, compacts or expires a table
holds it, on whatever machine. It is bound to the connection, so a killed holder frees it at once, and a holder whose
host went away frees it after about a minute (TCP keepalive). What a killed holder has left running on a Spark Connect
server is ended before the next one begins (`fencing`). Streams do not take it; their lease is their own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg

from headwater.errors import RetryableError
from headwater.lake.fencing import fenced
from headwater.settings import get_settings

WAIT_SECONDS = 600.0
"""A build of one table takes seconds to a few minutes; who waits longer than this waits for something that hangs."""

_KEEPALIVE = "SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 4"
_HOLDERS = """
    SELECT coalesce(a.application_name, '?'), now() - a.state_change
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND (l.classid::bigint << 32 | l.objid::bigint) = %s
"""
_RUNNING = """
    SELECT l.classid::bigint << 32 | l.objid::bigint AS key, min(a.backend_start)
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND (l.classid::bigint << 32 | l.objid::bigint) = ANY(%s)
    GROUP BY 1
"""


class TableLocked(RetryableError):
    """Somebody else has held the table's lock for longer than the wait."""


class LockLost(RetryableError):
    """The connection that bound the lock is gone, so somebody else may hold it now."""


class TableLock:
    """A lock that is held. `assert_held` before a commit tells whether it still is."""

    def __init__(self, table: str, connection: psycopg.Connection) -> None:
        self.table = table
        self._connection = connection

    def assert_held(self) -> None:
        """Raise `LockLost` if the connection is gone: a server that restarted has forgotten the lock."""
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error as error:
            raise LockLost(
                "the lock was lost while it was held",
                where=self.table,
                remedy="nothing was published; run the job again",
            ) from error


@contextmanager
def table_lock(table: str, *, purpose: str = "", wait_seconds: float = WAIT_SECONDS) -> Iterator[TableLock]:
    """Hold the lock of `table` (`<namespace>.<name>`) for the block.

    `purpose` is shown to those who wait. Raises `TableLocked`, naming the holder, when it is not free in time.
    """
    settings = get_settings()
    name = f"headwater {purpose or 'work'} on {table} (process {os.getpid()})"[:63]
    dsn = settings.postgres_dsn(settings.postgres_platform_database)
    with psycopg.connect(dsn, autocommit=True, application_name=name, connect_timeout=10) as connection:
        connection.execute(_KEEPALIVE)
        connection.execute(f"SET lock_timeout = {int(wait_seconds * 1000) or 1}")
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (lock_key(table),))
        except psycopg.errors.LockNotAvailable:
            raise TableLocked(
                f"not free within {wait_seconds:g} s: {_holders(connection, table)}",
                where=table,
                remedy="wait for it to end and run again; `headwater status` shows what runs",
            ) from None
        with fenced(connection, lock_key(table)):
            yield TableLock(table, connection)


def lock_key(table: str) -> int:
    """The 64-bit key of a table's lock, of its name within the catalog `lake` (`<namespace>.<name>`)."""
    digest = hashlib.sha256(f"headwater.table.{table.removeprefix('lake.')}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def held_since(tables: Iterable[str]) -> dict[str, datetime]:
    """Those of the tables whose lock is held now, and since when at the earliest (when the holder connected)."""
    keys = {lock_key(table): table for table in tables}
    settings = get_settings()
    dsn = settings.postgres_dsn(settings.postgres_platform_database)
    with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
        rows = connection.execute(_RUNNING, (list(keys),)).fetchall()
    return {keys[key]: since.astimezone(UTC) for key, since in rows}


def _holders(connection: psycopg.Connection, table: str) -> str:
    rows = connection.execute(_HOLDERS, (lock_key(table),)).fetchall()
    return ", ".join(f"{who}, for {str(since).split('.')[0]}" for who, since in rows) or "the holder has just left"
