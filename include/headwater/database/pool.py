"""A small pool, so that a request costs no connection of its own; one that the server has closed is replaced."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg

from headwater.errors import RetryableError
from headwater.settings import Settings

CONNECTIONS = 8
WAIT_SECONDS = 5.0


class DatabaseUnavailable(RetryableError):
    """Postgres does not answer, or not in time."""


class Database:
    """Connections to the platform's database, a few, shared by threads; `tables` are made at the first use.

    Every process runs `tables` once, so that a newer version may add to what is there. `name` is for pg_stat_activity.
    """

    def __init__(self, settings: Settings, tables: LiteralString, name: str) -> None:
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
                    connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", ("headwater tables",))
                    connection.execute(self._tables)
                self._ready = True
        return connection
