"""What maintenance did, in numbers: files, bytes, manifests, snapshots and the time of a scan, before and after.

A scan costs planning and reading. Planning is timed over the whole table: its metadata is loaded anew and every data
file is found. Reading is timed over one column, the first, of one partition, that with the most files before; so both
measurements read the same rows. Each is the better of two runs in this process, by PyIceberg, on whatever else the
machine is doing: the ratio says something, the seconds alone do not.

The numbers are kept in Postgres (database `headwater`, table `maintenance_runs`), one row for each table and run.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table import FileScanTask, Table

from headwater.database.creating import create_once
from headwater.lake.compaction import SMALL, TARGET_BYTES, manifests
from headwater.settings import get_settings

RUNS = 2
T = TypeVar("T")
CREATE = """
CREATE TABLE IF NOT EXISTS maintenance_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name text NOT NULL,
    dataset text NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now(),
    seconds double precision NOT NULL,
    before jsonb NOT NULL,
    done jsonb NOT NULL,
    after jsonb NOT NULL
);
CREATE INDEX IF NOT EXISTS maintenance_runs_newest ON maintenance_runs (table_name, ended_at DESC)
"""
INSERT = """
INSERT INTO maintenance_runs (table_name, dataset, seconds, before, done, after) VALUES (%s, %s, %s, %s, %s, %s)
"""
NEWEST = """
SELECT table_name, dataset, ended_at, seconds, before, done, after FROM maintenance_runs
WHERE %(table)s::text IS NULL OR table_name = %(table)s ORDER BY ended_at DESC, id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Size:
    """A table by its metadata, and what it takes to scan it. Bytes are those of the data files."""

    data_files: int
    small_files: int
    delete_files: int
    bytes: int
    rows: int
    manifests: int
    manifest_bytes: int
    snapshots: int
    plan_seconds: float
    probe_files: int
    probe_seconds: float

    def as_json(self) -> dict[str, Any]:
        """For the result, the log and the table of runs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Probe:
    """What is read to time a scan: a column of a partition."""

    column: str
    partition: str


def probe_of(table: Table) -> Probe:
    """The first column of the partition that has the most data files."""
    files = Counter(str(task.file.partition) for task in _tasks(table))
    return Probe(table.schema().fields[0].name, max(sorted(files), key=files.__getitem__, default=""))


def measure(catalog: Catalog, name: str, probe: Probe | None) -> Size:
    """The table as it is now; without a probe no rows are read, and its two numbers are 0."""
    planning, tasks = _timed(lambda: _tasks(catalog.load_table(name)))
    table = catalog.load_table(name)
    probed = [task for task in tasks if probe and str(task.file.partition) == probe.partition]
    reading, _ = _timed(lambda: _read(table, probe.column, probed)) if probe else (0.0, 0)
    found = manifests(table)
    return Size(
        data_files=len(tasks),
        small_files=sum(task.file.file_size_in_bytes < SMALL * TARGET_BYTES for task in tasks),
        delete_files=len({file.file_path for task in tasks for file in task.delete_files}),
        bytes=sum(task.file.file_size_in_bytes for task in tasks),
        rows=sum(task.file.record_count for task in tasks),
        manifests=len(found),
        manifest_bytes=sum(manifest.manifest_length for manifest in found),
        snapshots=len(table.metadata.snapshots),
        plan_seconds=planning,
        probe_files=len(probed),
        probe_seconds=reading,
    )


def _tasks(table: Table) -> list[FileScanTask]:
    return [] if table.current_snapshot() is None else list(table.scan().plan_files())


def _read(table: Table, column: str, tasks: list[FileScanTask]) -> int:
    """Rows of the files, one column of them read, deletes applied."""
    scan = table.scan(selected_fields=(column,))
    reader = ArrowScan(table.metadata, table.io, scan.projection(), scan.row_filter)
    return sum(batch.num_rows for batch in reader.to_record_batches(tasks))


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the better of the runs, and what the last one gave."""
    best = float("inf")
    for _ in range(RUNS):
        begun = time.monotonic()
        found = work()
        best = min(best, time.monotonic() - begun)
    return round(best, 4), found


def store(name: str, dataset: str, seconds: float, run: Mapping[str, Any]) -> None:
    """Keep what a run found and did (`before`, `done`, `after`)."""
    values = [json.dumps(run[part], default=str) for part in ("before", "done", "after")]
    with _connect() as connection:
        create_once(connection, "maintenance_runs", CREATE)
        connection.execute(INSERT, (name, dataset, round(seconds, 3), *values))


def runs(name: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """The newest runs, of one table or all: table_name, dataset, ended_at, seconds, before, done, after."""
    with _connect() as connection:
        create_once(connection, "maintenance_runs", CREATE)
        return connection.cursor(row_factory=dict_row).execute(NEWEST, {"table": name, "limit": limit}).fetchall()


def _connect() -> psycopg.Connection:
    settings = get_settings()
    return psycopg.connect(settings.postgres_dsn(settings.postgres_platform_database), connect_timeout=10)
