"""The catalog refuses commits of a stream's former writers, in the very statement that commits.

Iceberg's commit is one UPDATE of the table's row in the catalog's Postgres, conditional on the metadata it was built
on. That alone fences nobody: a writer that was stopped looks the table up anew when it resumes, and appends. So a
trigger on that row compares tokens: a stream's connections to the catalog carry their token in their name, a row of
`stream_fences` says which is the valid one, and an UPDATE under any other is refused by Postgres. Connections without
such a name (silver, replay, maintenance) are not a stream's and pass.

A REST catalog has no such row that is ours: there the lease is checked before each commit, and no more.

What is checked and what is changed is one row's UPDATE in one transaction, so there is no moment between the two
(docs/adr/0013-one-writer-per-stream.md).
"""

from __future__ import annotations

from collections.abc import Collection

import psycopg

from headwater.errors import RetryableError
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings

PREFIX = "headwater-writer-"
_FENCE = """
CREATE TABLE IF NOT EXISTS stream_fences (
    table_namespace text NOT NULL,
    table_name text NOT NULL,
    token bigint NOT NULL,
    PRIMARY KEY (table_namespace, table_name)
);
CREATE OR REPLACE FUNCTION headwater_fence() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    claimed bigint := substring(current_setting('application_name') FROM '^headwater-writer-([0-9]+)$');
    valid bigint;
BEGIN
    IF claimed IS NOT NULL THEN
        SELECT token INTO valid FROM stream_fences
        WHERE table_namespace = OLD.table_namespace AND table_name = OLD.table_name FOR SHARE;
        IF valid IS DISTINCT FROM claimed THEN
            RAISE EXCEPTION 'fenced out: writer % of %.% was followed by writer %',
                claimed, OLD.table_namespace, OLD.table_name, valid;
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER headwater_fence BEFORE UPDATE ON iceberg_tables
    FOR EACH ROW EXECUTE FUNCTION headwater_fence();
"""
_THERE = "SELECT 1 FROM pg_trigger WHERE tgname = 'headwater_fence'"
_RAISE = """
    INSERT INTO stream_fences (table_namespace, table_name, token) VALUES (%s, %s, %s)
    ON CONFLICT (table_namespace, table_name) DO UPDATE SET token = excluded.token
    WHERE stream_fences.token <= excluded.token RETURNING 1
"""
_END = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = ANY(%s)"


class FenceBlocked(RetryableError):
    """The fence could not be raised, so it is not known that the former writer can do no more."""


def connection_name(token: int) -> str:
    """How connections of the writer with this token are called in Postgres."""
    return f"{PREFIX}{token}"


def raise_fence(settings: Settings, table: str, token: int, former: Collection[int]) -> bool:
    """Let the catalog take commits to `<namespace>.<name>` from the writer with `token` only.

    False where a writer with a higher token was faster.

    The connections of the `former` tokens are ended, before it where one holds the fence, as of a process that was
    stopped between the swap and its end: what they have under way is rolled back. Connecting anew does not help them.
    """
    if settings.catalog_type == "rest":
        return True
    get_catalog()  # makes the catalog's tables
    dsn = settings.postgres_dsn(settings.postgres_catalog_database)
    namespace, name = table.split(".")
    try:
        with psycopg.connect(
            dsn, autocommit=True, connect_timeout=5, application_name="headwater fence", options="-c lock_timeout=2s"
        ) as connection:
            _ensure_fence(connection)
            values, end = (namespace, name, token), (_END, ([connection_name(one) for one in former],))
            try:
                raised = connection.execute(_RAISE, values).fetchone()
            except psycopg.errors.LockNotAvailable:
                connection.execute(*end)
                raised = connection.execute(_RAISE, values).fetchone()
            connection.execute(*end)
            return raised is not None
    except psycopg.Error as error:
        raise FenceBlocked(
            f"the catalog's fence could not be raised: {str(error).strip()}",
            where=table,
            remedy="it is tried again; a session that holds the table's row locked is seen in pg_stat_activity",
        ) from error


def _ensure_fence(connection: psycopg.Connection) -> None:
    """Make table and trigger once."""
    if connection.execute(_THERE).fetchone() is None:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('headwater_fence'))")
            connection.execute(_FENCE)
