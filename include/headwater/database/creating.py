"""Tables that are made at the first use, by whoever is first."""

from __future__ import annotations

from typing import LiteralString

import psycopg


def create_once(connection: psycopg.Connection, table: str, statements: LiteralString) -> None:
    """Run `statements` in one transaction where there is no `table` yet.

    Two that make it at the same time would fail on Postgres's own catalog, IF NOT EXISTS or not; so one waits for the
    other, and then runs them a second time, which they have to bear.
    """
    if connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() != (None,):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"create {table}",))
        connection.execute(statements)
