"""Reading tables anew while their changes stream: by signal, followed through the connector's own notifications."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable

import psycopg

from headwater.cdc.connector import Capture
from headwater.cdc.notifications import TABLE_READ, Notifications
from headwater.cdc.source import connected
from headwater.cdc.worker import Worker
from headwater.errors import RetryableError, TerminalError
from headwater.settings import Settings

INCREMENTAL = "Incremental Snapshot"
LOOK_SECONDS = 2.0
"""So long without news, and the connector's state is looked at."""


def request(connection: psycopg.Connection, capture: Capture, tables: Iterable[str]) -> None:
    """Ask the connector to read these tables, and note that it was asked, both or neither."""
    chosen = list(tables)
    data = json.dumps({"data-collections": [name.replace(".", r"\.") for name in chosen], "type": "incremental"})
    query = "INSERT INTO headwater_cdc.debezium_signal (id, type, data) VALUES (%s, 'execute-snapshot', %s)"
    with connection.transaction():
        connection.execute(query, (str(uuid.uuid4()), data))
        _note(connection, capture, chosen)


def request_missing(connection: psycopg.Connection, capture: Capture) -> list[str]:
    """Ask for the captured tables that nobody has asked for yet; which they were."""
    tables = unread(connection, capture)
    if tables:
        request(connection, capture, tables)
    return tables


def unread(connection: psycopg.Connection, capture: Capture) -> list[str]:
    """Captured tables of which no snapshot was asked for."""
    query = "SELECT name FROM headwater_cdc.captured_table WHERE slot = %s"
    known = {name for (name,) in connection.execute(query, (capture.slot,))}
    return [table for table in capture.tables if table not in known]


def mark_read(connection: psycopg.Connection, capture: Capture) -> None:
    """Note that the connector reads all its tables when it starts for the first time."""
    with connection.transaction():
        _note(connection, capture, capture.tables)


def _note(connection: psycopg.Connection, capture: Capture, tables: Iterable[str]) -> None:
    query = """
        INSERT INTO headwater_cdc.captured_table (slot, name, snapshot_requested_at) VALUES (%s, %s, now())
        ON CONFLICT (slot, name) DO UPDATE SET snapshot_requested_at = excluded.snapshot_requested_at
    """
    for table in tables:
        connection.execute(query, (capture.slot, table))


def resnapshot(settings: Settings, capture: Capture, seconds: float | None) -> dict[str, int | None]:
    """Have these tables read anew, and wait so long until they are; rows by table, None where nobody waited.

    Raises `TerminalError` where the connector does not run, `RetryableError` where the time is over.
    """
    with connected(settings, capture.database) as connection, Worker(settings) as worker:
        _demand_running(worker, capture)
        with Notifications(settings, capture) as notifications:
            start = notifications.end()
            request(connection, capture, capture.tables)
            if seconds is None:
                return dict.fromkeys(capture.tables)
            return _await_tables(worker, capture, notifications, start, seconds)


def _await_tables(
    worker: Worker, capture: Capture, notifications: Notifications, start: int, seconds: float
) -> dict[str, int | None]:
    """Follow the notifications until every table was read."""
    rows: dict[str, int | None] = {}
    deadline = time.monotonic() + seconds
    while set(rows) < set(capture.tables):
        for one in notifications.read(start, seconds=LOOK_SECONDS):
            start = one.offset + 1
            if one.about == INCREMENTAL and one.step == TABLE_READ and one.table in capture.tables:
                if one.failed:
                    raise TerminalError(f"{one.table} was not read: {one.facts.get('status')}", where=capture.connector)
                rows[one.table] = one.rows
            if set(rows) >= set(capture.tables):
                break
        _demand_running(worker, capture)
        if time.monotonic() > deadline:
            missing = ", ".join(sorted(set(capture.tables) - set(rows)))
            raise RetryableError(
                f"{missing} not read within {seconds:.0f} s; the reading goes on",
                where=capture.connector,
                remedy="see `headwater cdc status`",
            )
    return {name: rows[name] for name in capture.tables}


def _demand_running(worker: Worker, capture: Capture) -> None:
    state = worker.state(capture.connector)
    if state is None or state.failed:
        what = f"fails: {state.cause}" if state else "is not there"
        raise TerminalError(f"connector {capture.connector} {what}", remedy="`headwater cdc apply`, then try again")
