"""Jobs of `spark_jobs/` as processes of their own, on a project with one contract under a name of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from pyiceberg.catalog import Catalog
from ruamel.yaml import YAML
from tests.datasets.cases import Lake, bronze_rows

from headwater.contracts.model import Dataset, Kind
from headwater.environment import child_environment
from headwater.settings import LOOPBACK, Settings

PROJECT = Path(__file__).resolve().parents[1]
JOB_SECONDS = 240.0

CRASHING = """
import os, runpy, signal, sys
from importlib import import_module

module, name, calls, job = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
owner = import_module(module)
original = getattr(owner, name)

def crash(*args, **kwargs):
    global calls
    calls -= 1
    if calls < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)

setattr(owner, name, crash)
sys.argv = sys.argv[4:]
sys.path[0] = os.path.dirname(job)
runpy.run_path(job, run_name="__main__")
"""
"""Runs a job that is killed where it would call `<module>.<name>` once more than `calls` times."""


class Jobs:
    """Starts jobs on one dataset; on a Spark Connect server where `connect` says so."""

    def __init__(self, settings: Settings, dataset: Dataset, project: Path, *, connect: bool = True) -> None:
        self.settings = settings
        self.dataset = dataset
        remote = f"sc://{LOOPBACK}:{settings.spark_connect_port}" if connect else ""
        project_of(dataset, project)
        self.environment = child_environment(
            {"HEADWATER_PROJECT_DIR": str(project), "HEADWATER_SPARK_REMOTE": remote, "PYTHONPATH": str(PROJECT)}
        )

    def start(self, job: str, *arguments: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
        """The job as a process; its output is to be read from `stdout`."""
        script = str(PROJECT / "spark_jobs" / f"{job}.py")
        command = [sys.executable, *before, script, "--dataset", self.dataset.name, *arguments]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, job: str, *arguments: str) -> dict[str, Any]:
        """Run it to its end; the result it printed as its last line."""
        process = self.start(job, *arguments)
        output, _ = process.communicate(timeout=JOB_SECONDS)
        assert process.returncode == 0, output
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result

    def headwater(self, *arguments: str) -> dict[str, Any]:
        """A command on the same project; the JSON it printed."""
        command = [sys.executable, "-m", "headwater.cli", *arguments]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=JOB_SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def crash(self, job: str, module: str, name: str, calls: int = 0) -> int:
        """Run it until it would call `module.name` for the `calls + 1`-th time: there it kills itself."""
        process = self.start(job, before=("-c", CRASHING, module, name, str(calls)))
        output, _ = process.communicate(timeout=JOB_SECONDS)
        assert process.returncode < 0, output
        return process.returncode


def project_of(dataset: Dataset, project: Path) -> None:
    """Make a project directory that has this dataset's contract, under the dataset's name, and nothing else."""
    yaml = YAML()
    contract = yaml.load(dataset.path.read_text())
    contract["id"] = f"{dataset.domain}.{dataset.name}"
    contract["schema"][0] |= {"name": dataset.name}
    if dataset.kind is Kind.FILES:
        contract["servers"][0]["path"] = dataset.source_name
    else:
        contract["schema"][0]["physicalName"] = dataset.source_name
    for column in contract["schema"][0]["properties"]:
        column.pop("relationships", None)  # the other contracts are not here
    path = project / "schemas" / "contracts" / dataset.domain / f"{dataset.name}.yaml"
    path.parent.mkdir(parents=True)
    yaml.dump(contract, path)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    """Until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


class PlainLake(Lake):
    """A lake without a Spark of its own: rows come and are read by PyIceberg."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def dataset(self, like: str, name: str, folder: Path | None = None) -> Dataset:
        """As with any lake, but bronze has no partitions: PyIceberg alone cannot write those."""
        dataset = super().dataset(like, name, folder)
        bronze = self.catalog.load_table(f"bronze.{name}")
        with bronze.update_spec() as change:
            for field in bronze.spec().fields:
                change.remove_field(field.name)
        return dataset

    def arrive(
        self, dataset: Dataset, rows: Sequence[Mapping[str, Any]], properties: Mapping[str, str] | None = None
    ) -> None:
        """Append rows to bronze in one commit."""
        table = self.catalog.load_table(f"bronze.{dataset.name}")
        table.append(bronze_rows(dataset, rows).cast(table.schema().as_arrow()), dict(properties or {}))

    def rows(self, table: str, columns: str = "*") -> list[dict[str, Any]]:
        """Rows of a table of the lake."""
        chosen = tuple(columns.split(", "))
        rows: list[dict[str, Any]] = self.catalog.load_table(table).scan(selected_fields=chosen).to_arrow().to_pylist()
        return rows


class HeldCommits:
    """Holds a table's row of the Iceberg catalog: who commits to the table goes as far as that, and waits."""

    def __init__(self, settings: Settings, table: str) -> None:
        self.namespace, self.name = table.split(".")
        self.dsn = settings.postgres_dsn(settings.postgres_catalog_database)

    def __enter__(self) -> HeldCommits:
        """Take the row."""
        self.holder = psycopg.connect(self.dsn)
        row = "SELECT 1 FROM iceberg_tables WHERE table_namespace = %s AND table_name = %s FOR UPDATE"
        assert self.holder.execute(row, (self.namespace, self.name)).fetchall() == [(1,)]
        self.watcher = psycopg.connect(self.dsn, autocommit=True)
        return self

    def await_commit(self, job: subprocess.Popen[str], *but: int) -> int:
        """Until the job's commit waits, on another connection than `but`; that connection's number."""
        wait_until(lambda: bool(self._waiting(but)) or job.poll() is not None, "a commit waits")
        assert job.poll() is None, job.communicate()[0]
        [waiting] = self._waiting(but)
        return waiting

    def await_waiting(self, *but: int) -> int:
        """Until a commit of this process waits, on another connection than `but`; that connection's number."""
        wait_until(lambda: bool(self._waiting(but)), "a commit waits")
        [waiting] = self._waiting(but)
        return waiting

    def _waiting(self, but: Sequence[int]) -> set[int]:
        # Who waits in a queue is blocked by the one before it: a killed job's own connection still stands in line.
        query = "SELECT pid FROM pg_stat_activity WHERE pg_blocking_pids(pid) && %s::int[]"
        ahead = [self.holder.info.backend_pid, *but]
        return {int(pid) for (pid,) in self.watcher.execute(query, (ahead,)).fetchall()} - set(but)

    def __exit__(self, *_: object) -> None:
        """Let them commit, first come, first served."""
        self.holder.rollback()
        self.holder.close()
        self.watcher.close()


def content(rows: Sequence[Mapping[str, Any]], without: Sequence[str] = ("_ingested_at",)) -> list[tuple[Any, ...]]:
    """Rows as comparable values in a fixed order, without the columns that say when they were written."""
    return sorted((tuple(v for k, v in sorted(row.items()) if k not in without) for row in rows), key=repr)
