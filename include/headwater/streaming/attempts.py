"""What people have tried and decided about records in quarantine: Postgres, database `headwater`.

One row for each record and attempt in `quarantine_attempts`. A replay notes what it is about to land as `pending`
before it commits to bronze, and as `landed` after it; whoever comes next finds out what became of one that was killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from headwater.database.creating import create_once
from headwater.errors import RetryableError
from headwater.settings import get_settings

TABLE = "quarantine_attempts"
PENDING, LANDED, FAILED, ABANDONED, DISCARDED = "pending", "landed", "failed", "abandoned", "discarded"
"""Outcomes: about to land; is in bronze; would fail again, so nothing was written; was killed; put aside."""

Place = tuple[str, str | None, int, int, int]
"""Topic, topic id, partition, offset, and the `_attempt` of the row that was made, or that the decision is about."""

CREATE = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run uuid NOT NULL,
    dataset text NOT NULL,
    topic text NOT NULL,
    topic_id text,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    attempt integer NOT NULL,
    action text NOT NULL CHECK (action IN ('replay', 'discard')),
    how text NOT NULL DEFAULT '',
    who text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    outcome text NOT NULL CHECK (outcome IN ('pending', 'landed', 'failed', 'abandoned', 'discarded')),
    reason text NOT NULL DEFAULT '',
    snapshot_id bigint
);
CREATE INDEX IF NOT EXISTS {TABLE}_place ON {TABLE} (dataset, partition, "offset")
"""
INSERT = f"""
INSERT INTO {TABLE}
    (run, dataset, topic, topic_id, partition, "offset", attempt, action, how, who, outcome, reason)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""  # noqa: S608
_PLACE = 'topic, topic_id, partition, "offset", attempt'


@dataclass(frozen=True, slots=True)
class Run:
    """One command of a person on records of one dataset. `how` names the patch and schema version, if there were."""

    id: str
    dataset: str
    action: str
    who: str
    how: str = ""


def note(run: Run, entries: Iterable[tuple[Place, str, str]]) -> None:
    """Record attempts: for each the place, the outcome and the reason. All or none."""
    fixed = (run.action, run.how, run.who)
    with _connect() as connection:
        rows = [(run.id, run.dataset, *place, *fixed, outcome, reason) for place, outcome, reason in entries]
        connection.cursor().executemany(INSERT, rows)


def landed(run_id: str, snapshot_id: int | None) -> None:
    """What the run was about to land is in bronze."""
    with _connect() as connection:
        connection.execute(
            f"UPDATE {TABLE} SET outcome = 'landed', snapshot_id = %s WHERE run = %s AND outcome = 'pending'",  # noqa: S608
            (snapshot_id, run_id),
        )


def pending(dataset: str) -> list[tuple[int, Place]]:
    """Attempts of runs that ended without saying how: their ids, and the places of the rows to be found in bronze."""
    with _connect() as connection:
        sql = f"SELECT id, {_PLACE} FROM {TABLE} WHERE dataset = %s AND outcome = 'pending'"  # noqa: S608
        return [(number, tuple(place)) for number, *place in connection.execute(sql, (dataset,))]


def settle(outcomes: Sequence[tuple[int, str]]) -> None:
    """Say of pending attempts, by id, what became of them."""
    with _connect() as connection:
        sql = f"UPDATE {TABLE} SET outcome = %s WHERE id = %s AND outcome = 'pending'"  # noqa: S608
        connection.cursor().executemany(sql, [(outcome, number) for number, outcome in outcomes])


def discarded_places(dataset: str) -> list[Place]:
    """The rows that somebody has put aside."""
    with _connect() as connection:
        sql = f"SELECT DISTINCT {_PLACE} FROM {TABLE} WHERE dataset = %s AND outcome = 'discarded'"  # noqa: S608
        return connection.execute(sql, (dataset,)).fetchall()


def attempts_at(dataset: str, partition: int, offset: int) -> list[dict[str, Any]]:
    """All that was tried at a place, oldest first, as columns of the table."""
    with _connect() as connection:
        sql = f'SELECT * FROM {TABLE} WHERE dataset = %s AND partition = %s AND "offset" = %s ORDER BY id'  # noqa: S608
        return connection.cursor(row_factory=dict_row).execute(sql, (dataset, partition, offset)).fetchall()


@contextmanager
def _connect() -> Iterator[psycopg.Connection]:
    settings = get_settings()
    database = settings.postgres_platform_database
    try:
        with psycopg.connect(settings.postgres_dsn(database), connect_timeout=10) as connection:
            create_once(connection, TABLE, CREATE)
            yield connection
    except psycopg.OperationalError as error:
        raise RetryableError(
            f"the record of attempts does not answer: {str(error).strip().partition(chr(10))[0]}",
            where=f"{settings.postgres_host}:{settings.postgres_port}/{database}",
            remedy="see `headwater status`, then `headwater up postgres`",
        ) from error
