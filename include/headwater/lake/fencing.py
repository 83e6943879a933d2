"""Ends what a killed job has left running on a Spark Connect server, before the next one works on the same table.

A killed job frees its table's lock at once, but cannot interrupt its query: on a Connect server that goes on, and may
commit minutes later what the next job is about to do as well. So whoever holds a lock keeps its session's id beside
it, in `lock_sessions` of the platform's database, and takes it away when done; who finds one there ends that session
on the server, and then its connections to the catalog: a commit that waits in Postgres hears no interrupt.

A job without a Connect session has nothing that outlives it, and is not asked.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from headwater.database.creating import create_once
from headwater.errors import RetryableError
from headwater.lake.sessions import connect_client, connection_name, impatient
from headwater.settings import get_settings

NO_SUCH_SESSION = "INVALID_HANDLE"
"""What the server says of a session that has ended, or that it never had."""
_SESSIONS = """
    CREATE TABLE IF NOT EXISTS lock_sessions
    (lock_key bigint PRIMARY KEY, session_id uuid NOT NULL, user_id text, since timestamptz NOT NULL DEFAULT now())
"""
_NOTE = """
    INSERT INTO lock_sessions (lock_key, session_id, user_id) VALUES (%s, %s, %s)
    ON CONFLICT (lock_key) DO UPDATE
    SET session_id = excluded.session_id, user_id = excluded.user_id, since = excluded.since
"""
_END_CONNECTIONS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"

log = logging.getLogger(__name__)


@contextmanager
def fenced(connection: psycopg.Connection, key: int) -> Iterator[None]:
    """For the holder of the lock `key`: end its killed predecessor's session, and leave one's own id meanwhile.

    Raises `RetryableError` where the server does not say that the predecessor has ended.
    """
    client = connect_client()
    if client is None:
        yield
        return
    create_once(connection, "lock_sessions", _SESSIONS)
    former = connection.execute("SELECT session_id, user_id FROM lock_sessions WHERE lock_key = %s", (key,)).fetchone()
    if former is not None and str(former[0]) != client._session_id:
        log.warning("a job was killed while it held this lock; ending its Spark session %s", former[0])
        interrupt_session(str(former[0]), former[1])
        connection.execute(_END_CONNECTIONS, (connection_name(str(former[0])),))
    connection.execute(_NOTE, (key, client._session_id, client._user_id))
    try:
        yield
    except Exception:
        _forget(connection, key)  # this process lives, and its query has failed
        raise
    _forget(connection, key)


def interrupt_session(session_id: str, user_id: str | None) -> None:
    """Interrupt all queries of a session of the server in the settings; harmless where it has ended."""
    from pyspark.errors.exceptions.connect import SparkConnectException
    from pyspark.sql.connect.client import SparkConnectClient

    remote = get_settings().spark_remote.rstrip("/")
    remote += ";" if "/;" in remote else "/;"
    client = SparkConnectClient(f"{remote}session_id={session_id}", user_id=user_id)
    impatient(client)
    try:
        client.interrupt_all()  # not released: the server fails to close a session whose query is about to end
    except SparkConnectException as error:
        if NO_SUCH_SESSION not in str(error):
            raise RetryableError(
                f"a killed job's session {session_id} could not be interrupted: {error}",
                where="Spark Connect",
                remedy="see whether the Spark Connect server runs, and run the job again",
            ) from error
    finally:
        client.close()


def _forget(connection: psycopg.Connection, key: int) -> None:
    """Take the note away. A connection that is gone has taken the lock with it; the next holder then asks in vain."""
    try:
        connection.execute("DELETE FROM lock_sessions WHERE lock_key = %s", (key,))
    except psycopg.OperationalError as error:
        log.warning("the lock's connection is gone: %s", error)
