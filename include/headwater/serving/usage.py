"""How often datasets are asked: counted from the newest part of the audit trail, without anybody's name."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg.errors import UndefinedTable

from headwater.errors import RetryableError
from headwater.settings import Settings

NEWEST = 50_000
"""Entries that are looked at, from the end of the trail: a count must not read millions."""
_COUNT = """
SELECT entry::jsonb ->> 'surface', entry::jsonb ->> 'tool', count(*),
    sum(CASE WHEN entry::jsonb ->> 'outcome' = 'allowed' THEN 0 ELSE 1 END)::bigint
FROM (SELECT entry FROM audit_entries ORDER BY sequence DESC LIMIT %s) AS newest
WHERE entry::jsonb -> 'datasets' ? %s AND (entry::jsonb ->> 'at')::timestamptz > now() - make_interval(days => %s)
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""


@dataclass(frozen=True, slots=True)
class Used:
    """One way in which it was asked, and how many of the requests were not answered."""

    surface: str
    tool: str
    requests: int
    not_answered: int


def used(settings: Settings, dataset: str, days: int) -> list[Used]:
    """The counts; none before anything was audited. Raises `RetryableError` while Postgres does not answer."""
    try:
        with psycopg.connect(
            settings.postgres_dsn(settings.postgres_platform_database),
            connect_timeout=3,
            options="-c statement_timeout=4s",
            application_name="headwater usage",
        ) as connection:
            rows = connection.execute(_COUNT, (NEWEST, dataset, days)).fetchall()
    except UndefinedTable:
        return []
    except psycopg.Error as error:
        raise RetryableError(f"the audit trail does not answer ({type(error).__name__})", remedy="try again") from error
    return [Used(*row) for row in rows]
