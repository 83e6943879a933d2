"""A batch job is told to stop, or killed, in the middle of its work on a Spark Connect server.

Told to stop (SIGTERM), it takes its query on the server with it. Killed (SIGKILL), it can't: the query goes on, and the
next run ends it first. Either way the next run leaves tables as if nothing had happened.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.integration.lake.sales import ARRIVED, new_dataset, sale
from tests.jobs import JOB_SECONDS, HeldCommits, Jobs, PlainLake, content, wait_until

from headwater.contracts.model import Dataset
from headwater.embedded import stack as embedded
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.fault]

ENDLESS = """
import os, sys, threading
from headwater.jobs import job_parser, run_job
from headwater.lake.sessions import get_spark

def endless(number):
    from pathlib import Path
    import os, threading
    Path(FOLDER, "pid").write_text(str(os.getpid()))
    Path(FOLDER, "pid").rename(Path(FOLDER, "running"))
    threading.Event().wait()

def main(arguments):
    spark = get_spark("endless")
    spark.udf.register("endless", endless, "long")
    return {"rows": len(spark.sql("SELECT endless(id) FROM range(1)").collect())}

run_job(job_parser("A job whose query never ends."), main)
"""


@pytest.fixture(scope="module")
def connect(stack: Settings) -> Settings:
    """The shared stack with a Spark Connect server, for jobs in processes of their own."""
    embedded.up(("spark",), print)
    return stack


@pytest.fixture
def lake(connect: Settings) -> PlainLake:
    return PlainLake(get_catalog())


def test_a_job_that_is_told_to_stop_ends_its_query_on_the_server(
    connect: Settings, lake: PlainLake, tmp_path: Path
) -> None:
    jobs = Jobs(connect, new_dataset(lake), tmp_path / "project")
    script = tmp_path / "endless.py"
    script.write_text(f"FOLDER = {str(tmp_path)!r}\n{ENDLESS}")
    job = subprocess.Popen([sys.executable, str(script)], env=jobs.environment)
    running = tmp_path / "running"
    wait_until(lambda: running.exists() or job.poll() is not None, "the query runs on the server")
    worker = psutil.Process(int(running.read_text()))
    assert worker.is_running()

    job.send_signal(signal.SIGTERM)

    assert job.wait(timeout=20) == 143
    wait_until(lambda: not worker.is_running(), "the query's worker has ended", 20)


def test_silver_that_was_killed_in_each_commit_equals_silver_that_was_not(
    connect: Settings, lake: PlainLake, tmp_path: Path
) -> None:
    killed, whole = new_dataset(lake), new_dataset(lake)
    first_load = [sale(1000 + n, n) for n in range(500)]
    merge = [sale(1400 + n, 500 + n, quantity=3) for n in range(300)] + [sale(5000, 900, quantity=-1)]
    jobs = Jobs(connect, killed, tmp_path / "killed")
    for batch in (first_load, merge):
        lake.arrive(killed, batch)
        run_killed_then_again(jobs, "build_silver", f"silver.{killed.name}")

    uninterrupted = Jobs(connect, whole, tmp_path / "whole")
    for batch in (first_load, merge):
        lake.arrive(whole, batch)
        uninterrupted.run("build_silver")
    for table, rows in (("silver.{}", 700), ("silver.{}_refused", 1)):
        expected = content(lake.rows(table.format(whole.name)))
        assert len(expected) == rows
        assert content(lake.rows(table.format(killed.name))) == expected


def run_killed_then_again(jobs: Jobs, job: str, table: str) -> None:
    """Kill the job while its commit is under way on the server, and run it again while that one is."""
    with HeldCommits(jobs.settings, table) as commits:
        first = jobs.start(job)
        orphan = commits.await_commit(first)
        first.kill()
        assert first.wait() == -signal.SIGKILL
        second = jobs.start(job)
        commits.await_commit(second, orphan)
    output, _ = second.communicate(timeout=JOB_SECONDS)
    assert second.returncode == 0, output
    assert "a job was killed while it held this lock" in output


def test_changes_of_a_source_table_whose_ingestion_was_killed_come_in_once(
    connect: Settings, lake: PlainLake, tmp_path: Path
) -> None:
    like = new_dataset(lake, "stores")
    dataset = replace(like, source_name=f"public.{like.name}")
    jobs = Jobs(connect, dataset, tmp_path / "project")
    with psycopg.connect(connect.postgres_dsn(connect.postgres_source_database), autocommit=True) as source:
        columns = "store_id bigint PRIMARY KEY, store_name text, updated_at timestamp NOT NULL"
        source.execute(f"CREATE TABLE {like.name} ({columns})")
        source.execute(f"INSERT INTO {like.name} SELECT i, 'Store ' || i, '2017-01-01' FROM generate_series(1, 100) i")
        run_killed_then_again(jobs, "ingest_batch", f"bronze.{dataset.name}")
        assert operations(lake, dataset) == {("upsert", store) for store in range(1, 101)}

        source.execute(f"DELETE FROM {like.name} WHERE store_id = 7")
        run_killed_then_again(jobs, "ingest_batch", f"bronze.{dataset.name}")
        assert operations(lake, dataset) == {("upsert", store) for store in range(1, 101)} | {("delete", 7)}
        source.execute(f"DROP TABLE {like.name}")


def operations(lake: PlainLake, dataset: Dataset) -> set[tuple[str, int]]:
    """What bronze has been told, each of it once."""
    rows = [(row["_operation"], row["store_id"]) for row in lake.rows(f"bronze.{dataset.name}", "_operation, store_id")]
    assert len(rows) == len(set(rows))
    return set(rows)


def test_a_file_whose_ingestion_was_killed_comes_in_once(connect: Settings, lake: PlainLake, tmp_path: Path) -> None:
    dataset = dropped_promotions(connect, lake, rows=2_000)
    jobs = Jobs(connect, dataset, tmp_path / "project")
    assert jobs.crash("ingest_batch", "headwater.lake.branches", "fast_forward") == -signal.SIGKILL
    assert lake.rows(f"bronze.{dataset.name}", "product_id") == [], "what was written is on a branch"
    run_killed_then_again(jobs, "ingest_batch", f"bronze.{dataset.name}")
    stored = lake.rows(f"bronze.{dataset.name}", "product_id, _source_file")
    assert sorted(row["product_id"] for row in stored) == list(range(2_000))
    assert jobs.run("ingest_batch")["files"] == 0


def test_maintenance_runs_as_a_job_and_changes_no_row(connect: Settings, lake: PlainLake, tmp_path: Path) -> None:
    dataset = new_dataset(lake, "stores")
    name = f"bronze.{dataset.name}"
    for number in range(6):
        row = {"store_id": number, "store_name": f"Store {number}", "_operation": "upsert", "_ingested_at": ARRIVED}
        lake.arrive(dataset, [row])
    before = content(lake.rows(name))
    jobs = Jobs(connect, dataset, tmp_path / "project")

    planned = jobs.run("maintain_tables", "--dry-run")
    to_do = {"partitions_of_small_files": 1, "small_files": 6, "files_with_deletes": 0}
    assert planned[name]["done"]["compact"] == to_do

    done = jobs.run("maintain_tables")
    assert (done[name]["before"]["data_files"], done[name]["after"]["data_files"]) == (6, 1)
    assert content(lake.rows(name)) == before
    told = jobs.headwater("table", "maintain", name, "--dry-run", "--json")
    assert (told["table"], told["done"]["compact"]["partitions_of_small_files"]) == (name, 0)


def dropped_promotions(settings: Settings, lake: PlainLake, rows: int) -> Dataset:
    """A dataset like `promotions` under a name of its own, with one file in the landing folder."""
    like = new_dataset(lake, "promotions")
    dataset = replace(like, source_name=f"{like.name}/*.parquet")
    file = settings.landing_dir / dataset.name / "week-1.parquet"
    file.parent.mkdir(parents=True)
    places = {name: ["1"] * rows for name in ("display_location", "mailer_location")}
    columns = {"product_id": range(rows), "store_id": [1] * rows, **places, "week": pa.array([1] * rows, pa.int32())}
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), file)
    return dataset
