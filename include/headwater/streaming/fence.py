"""One writer per stream: an advisory lock in the platform's Postgres, held by the very process that commits.

The connection that holds the lock lives in the JVM, not in Python: when Python dies first, the JVM may still be in the
middle of a commit, and only when it is gone too does Postgres give the lock to the next.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from headwater.errors import RetryableError, TerminalError
from headwater.settings import Settings

HANDOVER_SECONDS = 20.0
"""How long a new stream waits for one that is just ending."""


class AlreadyRunning(TerminalError):
    """Another process writes this stream."""


class LockLost(RetryableError):
    """The database of the lock does not answer, so nobody knows who may write."""


class WriterLock:
    """The right to write one stream, for as long as this process lives or until `release`."""

    def __init__(self, spark: SparkSession, settings: Settings, dataset: str) -> None:
        self._jvm: Any = spark.sparkContext._jvm
        self._settings = settings
        self._dataset = dataset
        self._connection: Any = None

    def acquire(self) -> None:
        """Take the lock, or keep it. Raises `AlreadyRunning` after a while, `LockLost` where Postgres is down."""
        if self._connection is not None and self._answers():
            return
        self.release()
        self._connection = self._connect()
        deadline = time.monotonic() + HANDOVER_SECONDS
        while not self._ask(f"SELECT pg_try_advisory_lock({lock_key(self._dataset)})"):
            if time.monotonic() > deadline:
                holder = self._ask(f"SELECT pid::text FROM pg_locks WHERE {_held(self._dataset)}")  # noqa: S608
                self.release()
                raise AlreadyRunning(
                    f"another process writes the stream (Postgres session {holder})",
                    where=self._dataset,
                    remedy="`headwater stream status` says which; stop it first",
                )
            time.sleep(0.2)

    def check(self) -> None:
        """Raise `LockLost` unless this process still holds the lock."""
        if self._connection is None or not self._answers():
            raise LockLost("the writer lock is gone: its connection to Postgres has ended", where=self._dataset)

    def release(self) -> None:
        """Give the lock up; harmless where it is not held."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Py4JJavaError as error:
                raise LockLost(f"closing failed: {_message(error)}", where=self._dataset) from error

    def _answers(self) -> bool:
        try:
            return bool(self._connection.isValid(5))
        except Py4JJavaError:
            return False

    def _connect(self) -> Any:
        settings = self._settings
        properties = self._jvm.java.util.Properties()
        properties.setProperty("user", settings.postgres_user)
        properties.setProperty("password", settings.postgres_password.get_secret_value())
        properties.setProperty("tcpKeepAlive", "true")
        properties.setProperty("connectTimeout", "5")
        properties.setProperty("ApplicationName", f"headwater stream {self._dataset}")
        address = f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_platform_database}"
        try:
            return self._jvm.org.postgresql.Driver().connect(f"jdbc:postgresql://{address}", properties)
        except Py4JJavaError as error:
            raise LockLost(f"no connection to Postgres: {_message(error)}", where=address) from error

    def _ask(self, sql: str) -> Any:
        try:
            result = self._connection.createStatement().executeQuery(sql)
            return result.getObject(1) if result.next() else None
        except Py4JJavaError as error:
            raise LockLost(f"Postgres did not answer: {_message(error)}", where=self._dataset) from error


def lock_key(dataset: str) -> int:
    """The 64-bit key of the dataset's advisory lock."""
    return int.from_bytes(hashlib.sha256(f"headwater.stream.{dataset}".encode()).digest()[:8], "big", signed=True)


def _held(dataset: str) -> str:
    key = lock_key(dataset) % 2**64
    return f"locktype = 'advisory' AND granted AND classid = {key >> 32} AND objid = {key & 0xFFFFFFFF}"


def _message(error: Py4JJavaError) -> str:
    return str(error.java_exception.getMessage())
