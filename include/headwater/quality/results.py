"""What the checks have found, kept in Postgres (database `headwater`, table `quality_results`), one row per build.

`snapshot_id` is the Iceberg snapshot that was judged: the one published if it passed, one that nobody sees if not.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import psycopg
from psycopg.rows import dict_row

from headwater.contracts.model import Severity
from headwater.database.creating import create_once
from headwater.quality.checks import CheckResult, Report
from headwater.settings import get_settings

CREATE = """
CREATE TABLE IF NOT EXISTS quality_results (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset text NOT NULL,
    snapshot_id bigint,
    passed boolean NOT NULL,
    checked_at timestamptz NOT NULL DEFAULT now(),
    seconds double precision NOT NULL,
    results jsonb NOT NULL
);
CREATE INDEX IF NOT EXISTS quality_results_newest ON quality_results (dataset, checked_at DESC)
"""
INSERT = "INSERT INTO quality_results (dataset, snapshot_id, passed, seconds, results) VALUES (%s, %s, %s, %s, %s)"
NEWEST = """
SELECT DISTINCT ON (dataset) dataset, snapshot_id, passed, checked_at, seconds, results
FROM quality_results WHERE %(dataset)s::text IS NULL OR dataset = %(dataset)s
ORDER BY dataset, checked_at DESC
"""


def store(report: Report, snapshot_id: int | None) -> None:
    """Keep a report; `results` is a list of {rule, severity, passed, expected, found}."""
    results = json.dumps([asdict(result) for result in report.results], default=str)
    with _connect() as connection:
        create_once(connection, "quality_results", CREATE)
        connection.execute(INSERT, (report.dataset, snapshot_id, not report.errors, report.seconds, results))


def latest_results() -> dict[str, tuple[CheckResult, ...]]:
    """The rules' outcomes in the newest report of each dataset."""
    return {
        row["dataset"]: tuple(CheckResult(**{**r, "severity": Severity(r["severity"])}) for r in row["results"])
        for row in latest_reports()
    }


def latest_reports(dataset: str | None = None) -> list[dict[str, Any]]:
    """The newest report of one dataset, or of each: dataset, snapshot_id, passed, checked_at, seconds, results."""
    with _connect() as connection:
        create_once(connection, "quality_results", CREATE)
        return connection.cursor(row_factory=dict_row).execute(NEWEST, {"dataset": dataset}).fetchall()


def _connect() -> psycopg.Connection:
    settings = get_settings()
    return psycopg.connect(settings.postgres_dsn(settings.postgres_platform_database), connect_timeout=10)
