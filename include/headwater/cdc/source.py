"""What the source database needs so that its changes can be captured, and how to make it.

A schema of the platform's own (signals for the connector, its heartbeat, which tables were read), a publication with
exactly the captured tables, and REPLICA IDENTITY FULL on each of them: without it a delete and a change of the key
tell only the key, and long values that a change did not touch are missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from headwater.cdc.connector import HEARTBEAT, SCHEMA, SIGNALS, Capture, source_key
from headwater.contracts.model import Dataset
from headwater.errors import RetryableError, TerminalError
from headwater.settings import Settings

CAPTURED = f"{SCHEMA}.captured_table"
"""Tables that are captured, and when a snapshot of each was asked for."""
LOCK_SECONDS = 10
FREE_SECONDS = 30
_TABLES = {
    # Columns as Debezium asks for them.
    SIGNALS: "id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text",
    HEARTBEAT: "slot text PRIMARY KEY, at timestamptz NOT NULL",
    CAPTURED: "slot text, name text, snapshot_requested_at timestamptz, PRIMARY KEY (slot, name)",
}
_CATALOGUE = """
SELECT n.nspname || '.' || c.relname, c.relkind::text, c.relpersistence::text, c.relreplident::text,
       array(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement to be made in the source, and what it is for."""

    what: str
    statement: sql.Composed


@dataclass(frozen=True, slots=True)
class _Table:
    kind: str
    persistence: str
    identity: str
    columns: tuple[str, ...]


@contextmanager
def connected(settings: Settings, database: str) -> Iterator[psycopg.Connection]:
    """A connection to the source in autocommit mode, with the database's errors turned into the platform's."""
    place = f"{settings.postgres_host}:{settings.postgres_port}/{database}"
    try:
        with psycopg.connect(settings.postgres_dsn(database), autocommit=True, connect_timeout=10) as connection:
            connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
            yield connection
    except psycopg.errors.InsufficientPrivilege as error:
        raise TerminalError(
            f"Postgres refuses: {error.diag.message_primary}",
            where=place,
            remedy=f"the user {settings.postgres_user} must own the captured tables and may create in the database",
        ) from error
    except psycopg.errors.LockNotAvailable as error:
        raise RetryableError(
            f"somebody holds a lock on a captured table for more than {LOCK_SECONDS} s", where=place, remedy="try again"
        ) from error
    except psycopg.OperationalError as error:
        raise RetryableError(
            f"Postgres does not answer: {error}".strip(),
            where=place,
            remedy="see `headwater status`, then `headwater up postgres`",
        ) from error


def check(connection: psycopg.Connection, capture: Capture) -> None:
    """Raise `TerminalError` with everything that stands in the way, each with its remedy."""
    faults = [*_server_faults(connection, capture)]
    tables = _tables(connection, capture.tables)
    faults += [fault for dataset in capture.datasets for fault in _table_faults(dataset, tables)]
    if faults:
        what = "; ".join(f"{fault} → {remedy}" for fault, remedy in faults)
        raise TerminalError(f"changes cannot be captured: {what}", where=f"database {capture.database}")


def _server_faults(connection: psycopg.Connection, capture: Capture) -> Iterator[tuple[str, str]]:
    level = _one(connection, "SHOW wal_level")
    if level != "logical":
        yield f"wal_level is {level}", "set `wal_level = logical` in postgresql.conf and start Postgres anew"
    user = capture.reader or _one(connection, "SELECT current_user")
    if not _one(connection, "SELECT count(*) FROM pg_roles WHERE rolname = %s", user):
        yield f"there is no user {user}", f'as a superuser: CREATE ROLE "{user}" LOGIN REPLICATION PASSWORD …'
    elif not _may_replicate(connection, user):
        yield f"the user {user} may not replicate", f'as a superuser: ALTER ROLE "{user}" REPLICATION'
    used, ours, allowed = _row(
        connection,
        "SELECT count(*), count(*) FILTER (WHERE slot_name = %s), current_setting('max_replication_slots')::int"
        " FROM pg_replication_slots",
        capture.slot,
    )
    if not ours and used >= allowed:
        yield (
            f"all {allowed} replication slots are taken",
            "raise `max_replication_slots`, or drop one that is not used",
        )


def _may_replicate(connection: psycopg.Connection, user: str) -> bool:
    """Whether the user has the right itself, or through the role that hosted Postgres gives it by."""
    query = """
        SELECT bool_or(rolsuper OR rolreplication OR rolname IN ('rds_replication', 'cloudsqlreplica'))
        FROM pg_roles WHERE rolname = %s
           OR rolname IN ('rds_replication', 'cloudsqlreplica') AND pg_has_role(%s, oid, 'member')
    """
    return bool(_one(connection, query, user, user))


def _tables(connection: psycopg.Connection, names: Iterable[str]) -> dict[str, _Table]:
    rows = connection.execute(_CATALOGUE, (list(names),)).fetchall()
    return {
        name: _Table(kind, persistence, identity, tuple(columns)) for name, kind, persistence, identity, columns in rows
    }


def _table_faults(dataset: Dataset, tables: dict[str, _Table]) -> Iterator[tuple[str, str]]:
    name, table = dataset.source_name, tables.get(dataset.source_name)
    if table is None:
        yield f"there is no table {name}", f"create it, or correct physicalName in {dataset.path.name}"
        return
    if table.kind != "r" or table.persistence != "p":
        yield f"{name} is no ordinary, logged table", "capture the tables that it is made of"
    missing = [column for column in source_key(dataset) if column not in table.columns]
    if missing:
        yield f"{name} has no column {', '.join(missing)}", f"correct the primary key in {dataset.path.name}"


def steps(connection: psycopg.Connection, capture: Capture) -> list[Step]:
    """What has to be made; nothing where all is there."""
    there = _tables(connection, [*_TABLES, *capture.tables])
    found = [] if set(_TABLES) <= set(there) else [_own_schema()]
    for name in capture.tables:
        if there[name].identity != "f":
            statement = sql.SQL("ALTER TABLE {} REPLICA IDENTITY FULL").format(_identifier(name))
            found.append(Step(f"{name}: set REPLICA IDENTITY FULL", statement))
    return [*found, *_publication(connection, capture), *(_rights(connection, capture) if capture.reader else ())]


def lost(connection: psycopg.Connection, capture: Capture, tables: Iterable[str]) -> Iterator[str]:
    """What has gone since `apply` made it, for tables that the connector reads.

    Postgres goes on decoding without a publication, and leaves its tables' changes out in silence.
    """
    names = sorted(tables)
    there = _tables(connection, names)
    yield from (f"table {name}" for name in names if name not in there)
    yield from (f"REPLICA IDENTITY FULL of {name}" for name, table in there.items() if table.identity != "f")
    if missing := unpublished(connection, capture, (*names, SIGNALS, HEARTBEAT)):
        yield f"{', '.join(missing)} in the publication {capture.slot}"


def unpublished(connection: psycopg.Connection, capture: Capture, tables: Iterable[str]) -> list[str]:
    """Which of these tables the publication does not have: their changes pass unseen."""
    query = "SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = %s"
    published = {name for (name,) in connection.execute(query, (capture.slot,))}
    return [name for name in tables if name not in published]


def _own_schema() -> Step:
    made = [sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA))]
    for name, columns in _TABLES.items():
        made.append(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(_identifier(name), sql.SQL(columns)))
    return Step(f"create schema {SCHEMA} for signals and heartbeat", sql.SQL("; ").join(made))


def _publication(connection: psycopg.Connection, capture: Capture) -> Iterator[Step]:
    wanted = sorted({*capture.tables, SIGNALS, HEARTBEAT})
    listed = sql.SQL(", ").join(map(_identifier, wanted))
    names = {"publication": sql.Identifier(capture.slot), "tables": listed}
    if not _one(connection, "SELECT count(*) FROM pg_publication WHERE pubname = %s", capture.slot):
        statement = sql.SQL("CREATE PUBLICATION {publication} FOR TABLE {tables}").format(**names)
        yield Step(f"create publication {capture.slot} for {', '.join(capture.tables)}", statement)
        return
    query = "SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = %s ORDER BY 1"
    have = [row[0] for row in connection.execute(query, (capture.slot,))]
    if sorted(have) != wanted:
        statement = sql.SQL("ALTER PUBLICATION {publication} SET TABLE {tables}").format(**names)
        more, less = sorted(set(wanted) - set(have)), sorted(set(have) - set(wanted))
        changes = [f"{verb} {', '.join(tables)}" for verb, tables in (("add", more), ("drop", less)) if tables]
        yield Step(f"publication {capture.slot}: {'; '.join(changes)}", statement)


def _rights(connection: psycopg.Connection, capture: Capture) -> Iterator[Step]:
    """What the connector's own user needs: to read what is captured, and to write what the platform has made for it."""
    writes = ("SELECT", "INSERT", "UPDATE", "DELETE")
    query = """
        SELECT CASE WHEN to_regclass(%(table)s) IS NULL THEN false
            ELSE has_schema_privilege(%(user)s::name, %(schema)s::text, 'USAGE')
                AND (SELECT bool_and(has_table_privilege(%(user)s::name, %(table)s::text, one))
                     FROM unnest(%(rights)s::text[]) AS one) END
    """
    needed = {**dict.fromkeys(capture.tables, ("SELECT",)), SIGNALS: writes, HEARTBEAT: writes}
    for name, rights in needed.items():
        schema, table = name.split(".", 1)[0], _identifier(name)
        values = {"user": capture.reader, "schema": schema, "table": table.as_string(), "rights": list(rights)}
        if connection.execute(query, values).fetchone() == (True,):
            continue
        parts = {"schema": sql.Identifier(schema), "table": table, "user": sql.Identifier(capture.reader)}
        grant = f"GRANT USAGE ON SCHEMA {{schema}} TO {{user}}; GRANT {', '.join(rights)} ON {{table}} TO {{user}}"
        yield Step(f"let {capture.reader} {', '.join(rights)} on {name}", sql.SQL(grant).format(**parts))


def perform(connection: psycopg.Connection, made: Iterable[Step]) -> None:
    """Make the steps, all or none."""
    with connection.transaction():
        for step in made:
            connection.execute(step.statement)


def drop(connection: psycopg.Connection, capture: Capture) -> None:
    """Remove slot, publication and the platform's schema: the source is as it was, but for identities and rights."""
    drop_slot(connection, capture)
    connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(capture.slot)))
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(SCHEMA)))


def drop_slot(connection: psycopg.Connection, capture: Capture) -> None:
    """Drop the slot, and with it the position in the log."""
    _await_free(connection, capture)
    query = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
    connection.execute(query, (capture.slot,))


def _await_free(connection: psycopg.Connection, capture: Capture) -> None:
    """Wait until nobody reads the slot any more: a task that was stopped closes its connection a little later."""
    query = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s AND active"
    deadline = time.monotonic() + FREE_SECONDS
    while _one(connection, query, capture.slot):
        if time.monotonic() > deadline:
            raise RetryableError(
                f"slot {capture.slot} is still in use {FREE_SECONDS} s after its connector was removed",
                where=f"database {capture.database}",
                remedy="see who reads it in pg_replication_slots, then try again",
            )
        time.sleep(0.1)


def forget(connection: psycopg.Connection, capture: Capture, tables: Iterable[str]) -> None:
    """Forget that these tables were read: one that is captured again is read again."""
    query = "DELETE FROM headwater_cdc.captured_table WHERE slot = %s AND name = ANY(%s)"
    connection.execute(query, (capture.slot, list(tables)))


def _identifier(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split(".", 1))


def _one(connection: psycopg.Connection, query: str, *values: Any) -> Any:
    return _row(connection, query, *values)[0]


def _row(connection: psycopg.Connection, query: str, *values: Any) -> Any:
    return connection.execute(query, values or None).fetchone()
