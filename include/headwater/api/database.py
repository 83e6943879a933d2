"""The API's tables in the platform's Postgres: keys, what they used, and answers that were given.

A small pool, so that a request costs no connection of its own; a connection that the server has closed is replaced.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from headwater.errors import RetryableError
from headwater.settings import Settings

CONNECTIONS = 8
WAIT_SECONDS = 5.0
_SETUP_LOCK = 0x68775F6170695F31
_TABLES = """
CREATE TABLE IF NOT EXISTS api_keys (
    key_id text PRIMARY KEY,
    name text NOT NULL,
    secret_sha256 bytea NOT NULL,
    datasets text[] NOT NULL,
    events_per_minute integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
ALTER TABLE api_keys ADD COLUMN IF NOT EXISTS owner text;
ALTER TABLE api_keys ADD COLUMN IF NOT EXISTS scopes text[] NOT NULL DEFAULT '{api:send_events}';
ALTER TABLE api_keys ADD COLUMN IF NOT EXISTS expires_at timestamptz;
COMMENT ON COLUMN api_keys.owner IS 'The identity whose key it is; null: a sender of events and nothing else';
COMMENT ON COLUMN api_keys.datasets IS 'Datasets it may send to; empty: all';
CREATE TABLE IF NOT EXISTS api_usage (
    key_id text PRIMARY KEY REFERENCES api_keys,
    minute timestamptz NOT NULL,
    events integer NOT NULL
);
CREATE TABLE IF NOT EXISTS api_answers (
    key_id text NOT NULL REFERENCES api_keys,
    idempotency_key text NOT NULL,
    request_sha256 bytea NOT NULL,
    answer json,
    claimed_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key_id, idempotency_key)
);
COMMENT ON COLUMN api_answers.answer IS 'Null while the first request is being worked on';
CREATE INDEX IF NOT EXISTS api_answers_created_at ON api_answers (created_at);
"""


class DatabaseUnavailable(RetryableError):
    """Postgres does not answer, or not in time."""


class Database:
    """Connections to the platform's database, a few, shared by threads; the tables are made at the first use."""

    def __init__(self, settings: Settings, tables: str = _TABLES, name: str = "headwater api") -> None:
        self._settings = settings
        self._tables = tables
        self._name = name
        self._idle: queue.LifoQueue[psycopg.Connection | None] = queue.LifoQueue()
        for _ in range(CONNECTIONS):
            self._idle.put(None)
        self._setup = threading.Lock()
        self._ready = False

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """A connection for one transaction, committed after the block. Raises `DatabaseUnavailable`."""
        try:
            connection = self._idle.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise DatabaseUnavailable(f"no connection was free for {WAIT_SECONDS:.0f} s", where="Postgres") from None
        try:
            connection = self._usable(connection)
            with connection.transaction():
                yield connection
        except psycopg.OperationalError as error:
            if connection is not None:
                connection.close()
            raise DatabaseUnavailable(
                "Postgres does not answer",
                where=f"{self._settings.postgres_host}:{self._settings.postgres_port}",
                remedy="see `headwater status`, then `headwater up postgres`",
            ) from error
        finally:
            self._idle.put(None if connection is None or connection.closed else connection)

    def close(self) -> None:
        """Close what is idle."""
        while not self._idle.empty():
            if (connection := self._idle.get_nowait()) is not None:
                connection.close()

    def _usable(self, connection: psycopg.Connection | None) -> psycopg.Connection:
        if connection is not None:
            try:
                connection.execute("SELECT 1")
            except psycopg.OperationalError:
                connection.close()  # the server was restarted since
            else:
                return connection
        return self._connect()

    def _connect(self) -> psycopg.Connection:
        dsn = self._settings.postgres_dsn(self._settings.postgres_platform_database)
        connection = psycopg.connect(
            dsn, autocommit=True, connect_timeout=3, application_name=self._name, options="-c statement_timeout=5s"
        )
        with self._setup:
            if not self._ready:
                with connection.transaction():
                    # IF NOT EXISTS fails where two create at once.
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SETUP_LOCK,))
                    connection.execute(self._tables)
                self._ready = True
        return connection
