"""Reading the audit trail: by who, what, when and outcome. Reading it is on it, too, where a command does so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from headwater.audit.chain import ensure_table
from headwater.database.pool import DatabaseUnavailable
from headwater.settings import Settings

FETCHED_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for; what is empty or None does not matter. Times: from `since` on, before `until`."""

    who: str = ""
    surface: str = ""
    tool: str = ""
    dataset: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


def search(settings: Settings, sought: Sought, *, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """The entries that fit, with `sequence`: the newest first where there is a `limit`, else the oldest.

    Raises `DatabaseUnavailable`.
    """
    conditions, values = _conditions(sought)
    order = f"DESC LIMIT {limit:d}" if limit is not None else ""
    sql = f"SELECT sequence, entry FROM audit_entries WHERE {conditions} ORDER BY sequence {order}"  # noqa: S608
    with connected(settings) as connection:
        ensure_table(connection)
        with connection.cursor(name="audit") as cursor:
            cursor.itersize = FETCHED_ROWS
            cursor.execute(sql.encode(), values)
            for sequence, text in cursor:
                yield {"sequence": sequence, **json.loads(text)}


@contextmanager
def connected(settings: Settings) -> Iterator[psycopg.Connection]:
    """A connection of its own, for one transaction. Raises `DatabaseUnavailable`."""
    dsn = settings.postgres_dsn(settings.postgres_platform_database)
    try:
        with psycopg.connect(dsn, connect_timeout=5, application_name="headwater audit reader") as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(
            "Postgres does not answer",
            where=f"{settings.postgres_host}:{settings.postgres_port}",
            remedy="see `headwater status`, then `headwater up postgres`",
        ) from error


def _conditions(sought: Sought) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {}
    conditions = ["true"]
    for name in ("who", "surface", "tool", "outcome"):
        if value := getattr(sought, name):
            conditions.append(f"entry::jsonb ->> '{name}' = %({name})s")
            values[name] = value
    if sought.dataset:
        conditions.append("entry::jsonb -> 'datasets' ? %(dataset)s")
        values["dataset"] = sought.dataset
    for name, sign, moment in (("since", ">=", sought.since), ("until", "<", sought.until)):
        if moment is not None:
            conditions.append(f"entry::jsonb ->> 'at' {sign} %({name})s")
            values[name] = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return " AND ".join(conditions), values
