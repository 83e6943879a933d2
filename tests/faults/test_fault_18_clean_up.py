"""Fault 18: orphan clean-up while a write is under way; expiry of a snapshot that a stream has yet to read.

Live files survive; expiry waits. And what goes by age is on record, so that the ledger still adds up.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from tests.aged import age, age_file, local
from tests.datasets.cases import Lake
from tests.integration.lake.sales import new_dataset, position, sale
from tests.jobs import wait_until
from tests.streams import StreamCase, stream_case
from tests.streams import sale as event

from headwater.contracts.iceberg import ensure_tables
from headwater.contracts.model import Dataset
from headwater.lake.catalog import get_catalog
from headwater.lake.locks import table_lock
from headwater.lake.maintenance import Wish, maintain_table
from headwater.lake.names import RefKind, create
from headwater.lake.silver import build
from headwater.settings import Settings
from headwater.streaming.broker import Broker
from headwater.streaming.live import LiveFollower
from headwater.streaming.runner import StreamRunner
from headwater.streaming.verification import verify

pytestmark = [pytest.mark.integration, pytest.mark.fault]

NEXT_WEEK = dt.timedelta(days=7)
FOUR_DAYS, TEN_DAYS = dt.timedelta(days=4), dt.timedelta(days=10)


def plain(lake: Lake) -> Dataset:
    """Sales without a live table, kept for ever."""
    return dataclasses.replace(new_dataset(lake), live=None, retention_days={"bronze": 36_500, "silver": 36_500})


def test_files_of_a_batch_that_has_stood_still_for_days_survive(lake: Lake, tmp_path: Path) -> None:
    """A process that was stopped in the middle of a batch: its files are older than any bound, and not yet named."""
    dataset = plain(lake)
    name = f"bronze.{dataset.name}"
    lake.arrive(dataset, [sale(1, 0)], position(1))
    table = age(lake.catalog, name, FOUR_DAYS + dt.timedelta(hours=1))
    orphan = local(table.location()) / "data" / "left-behind.parquet"
    orphan.write_bytes(b"of a write that was killed long ago")
    age_file(orphan, TEN_DAYS)
    known = set(data_files(table.location()))
    lake.spark.udf.register("stand_still", stands_still(tmp_path / "go"), "long")
    values = {"_kafka_offset": "stand_still(id)", "_kafka_partition": "0", "_ingested_at": "current_timestamp()"}
    schema = lake.spark.table(f"lake.{name}").schema
    columns = (f"cast({values.get(c.name, 'null')} AS {c.dataType.simpleString()}) AS `{c.name}`" for c in schema)
    rows = lake.spark.range(1, 3, 1, 2).selectExpr(*columns)
    writer = threading.Thread(target=lambda: rows.writeTo(f"lake.{name}").append())
    writer.start()
    wait_until(lambda: bool(set(data_files(table.location())) - known), "the first task has written its file")
    (under_way,) = set(data_files(table.location())) - known
    age_file(under_way, FOUR_DAYS)

    done = maintain_table(lake.spark, lake.catalog, dataset, name)["done"]
    (tmp_path / "go").touch()
    writer.join(60)

    assert done["orphans"]["files"] == 1
    assert not orphan.exists()
    assert under_way.exists()
    assert sorted(row["_kafka_offset"] for row in lake.rows(name, "_kafka_offset")) == [0, 1, 2]


def stands_still(go: Path) -> Callable[[int], int]:
    """The first task goes through, the second waits."""

    def stand_still(number: int) -> int:
        import time

        for _ in range(600):
            if number == 1 or go.exists():
                return number
            time.sleep(0.1)
        raise TimeoutError(str(go))

    return stand_still


def data_files(location: str) -> list[Path]:
    return [path for path in (local(location) / "data").rglob("*.parquet") if path.stat().st_size]


def test_expiry_waits_for_who_has_yet_to_read(lake: Lake) -> None:
    dataset = plain(lake)
    name = f"bronze.{dataset.name}"
    for offset in range(3):
        lake.arrive(dataset, [sale(offset, offset)], position(offset + 1))
    build(lake.spark, lake.catalog, dataset)
    table = lake.catalog.load_table(name)
    create(lake.catalog, table, RefKind.TAG, "evidence")
    lake.spark.sql(
        f"ALTER TABLE lake.{name} CREATE BRANCH trial AS OF VERSION {table.metadata.snapshots[0].snapshot_id}"
    )
    for offset in range(2, 5):
        lake.arrive(dataset, [sale(offset, offset)], position(offset + 1))
    next_week = Wish(now=dt.datetime.now(dt.UTC) + NEXT_WEEK)

    planned = maintain_table(lake.spark, lake.catalog, dataset, name, dataclasses.replace(next_week, dry_run=True))
    done = maintain_table(lake.spark, lake.catalog, dataset, name, next_week)["done"]

    assert planned["done"]["expire"]["snapshots"] == done["expire"]["snapshots"] == 1
    assert done["expire"]["held_by"] == f"silver.{dataset.name}"
    built = build(lake.spark, lake.catalog, dataset)
    assert (built["from"], built["rows_read"]) == ("snapshots", 3)
    after = maintain_table(lake.spark, lake.catalog, dataset, name, next_week)
    assert after["done"]["expire"]["snapshots"] > 0
    kept = lake.catalog.load_table(name).metadata
    assert {"evidence", "trial", "headwater-position"} <= set(kept.refs)
    assert len(lake.rows(f"{name} VERSION AS OF 'trial'")) == 1


def test_expiry_waits_for_a_first_build_that_nobody_knows_of_yet(lake: Lake) -> None:
    """It has committed nothing, so no summary names it; it holds its lock, and reads what was there when it began."""
    dataset = plain(lake)
    name = f"bronze.{dataset.name}"
    lake.arrive(dataset, [sale(0, 0)], position(1))
    next_week = Wish(now=dt.datetime.now(dt.UTC) + NEXT_WEEK)
    with table_lock(f"silver.{dataset.name}", purpose="build"):
        lake.arrive(dataset, [sale(1, 1)], position(2))
        lake.arrive(dataset, [sale(2, 2)], position(3))
        done = maintain_table(lake.spark, lake.catalog, dataset, name, next_week)["done"]
    assert done["expire"]["held_by"] == f"silver.{dataset.name}, which is being built"
    assert len(lake.catalog.load_table(name).metadata.snapshots) == 3, "the first is what it began to read"
    again = maintain_table(lake.spark, lake.catalog, dataset, name, next_week)["done"]
    assert again["expire"]["snapshots"] == 2


def test_rows_that_go_by_age_are_accounted_for_and_hurt_no_reader(
    stack: Settings, spark: SparkSession, lake: Lake
) -> None:
    case = stream_case(stack)
    for first in (0, 10):
        case.sales(*range(first, first + 10))
        case.produce(case.framed(event(90 + first, quantity=-1)), b"noise", partition=1)
        case.read_once(spark)
    name, catalog = f"bronze.{case.dataset.name}", get_catalog()
    spark.sql(f"UPDATE lake.{name} SET _ingested_at = _ingested_at - INTERVAL 400 DAYS")
    follower = LiveFollower(case.dataset)
    follower.catch_up()
    before = case.ledger(exact=True)

    for dry_run in (True, False):  # live has them all, silver was never built
        held = maintain_table(spark, catalog, case.dataset, name, Wish(dry_run=dry_run))["done"]["retention"]
        assert (held["rows"], held["held_rows"], held["held_by"]) == (0, 24, f"silver.{case.dataset.name}")
    ensure_tables(catalog, case.dataset)
    assert build(spark, catalog, case.dataset)["rows_read"] == 22
    done = maintain_table(spark, catalog, case.dataset, name)["done"]["retention"]

    assert (done["rows"], done["first_attempts_so_far"], done["all_below"]) == (24, {0: 20, 1: 4}, {0: 20, 1: 4})
    assert "held_by" not in done
    assert case.places() == []
    case.sales(*range(20, 25))
    case.read_once(spark)
    for exact in (False, True):
        after = case.ledger(exact=exact)
        assert after.unaccounted == before.unaccounted == 0
        assert [(line.read, line.quarantined, line.retained) for line in after.partitions] == [(5, 0, 20), (0, 0, 4)]
    agrees_with_rows(case)
    assert build(spark, catalog, case.dataset)["rows_read"] == 5
    assert len(lake.rows(f"silver.{case.dataset.name}")) == 25
    assert follower.catch_up() == 5


def agrees_with_rows(case: StreamCase) -> None:
    """`headwater ledger --verify` has nothing to say, although the broker still has what retention let go."""
    broker = Broker(case.settings)
    found = verify(case.dataset, broker.topic(case.dataset.topic), broker)
    assert found is not None
    assert found.agrees, list(found.findings())
    assert [(check.rows, check.retained, check.missing) for check in found.partitions] == [(5, 20, ()), (0, 4, ())]


@pytest.mark.thorough
def test_a_stream_runs_on_while_every_step_is_done_to_its_table(
    stack: Settings, spark: SparkSession, lake: Lake
) -> None:
    """Also to files that it has just written (`settled`) and to snapshots that it has just made (`keep`)."""
    case, quick = stream_case(stack), stack.model_copy(update={"stream_trigger_interval": "200 milliseconds"})
    name, catalog = f"bronze.{case.dataset.name}", get_catalog()
    case.sales(*range(5))
    case.read_once(spark)
    ensure_tables(catalog, case.dataset)
    spark.sql(f"UPDATE lake.{name} SET _ingested_at = _ingested_at - INTERVAL 400 DAYS")
    build(spark, catalog, case.dataset)
    orphan = local(catalog.load_table(name).location()) / "data" / "left-behind.parquet"
    orphan.write_bytes(b"of a write that was killed long ago")
    age_file(orphan, TEN_DAYS)
    at_once = Wish(keep=dt.timedelta(0), settled=dt.timedelta(0))
    did: Counter[str] = Counter()

    with running(StreamRunner(spark, quick, case.dataset, once=False)) as runner:
        sent = 5
        deadline = time.monotonic() + 120
        while not all(did[step] for step in STEPS):
            assert time.monotonic() < deadline, did
            for _ in range(10):  # as many commits: something to compact, manifests to merge, snapshots to forget
                case.sales(sent)
                sent += 1
                await_rows_read(runner, sent - 5)
            case.sales(*range(sent, sent + 50))  # and these while the table is maintained
            sent += 50
            done = maintain_table(spark, catalog, case.dataset, name, at_once)["done"]
            build(spark, catalog, case.dataset)
            did.update({step: done[step].get(effect, 0) for step, effect in STEPS.items()})
            await_rows_read(runner, sent - 5)
        assert (runner.heartbeat.state, runner.heartbeat.attempts) == ("running", 0), "it never failed"

    assert case.places() == [(0, offset) for offset in range(5, sent)]
    ledger = case.ledger(exact=True)
    assert (ledger.unaccounted, [line.retained for line in ledger.partitions]) == (0, [5, 0])
    build(spark, catalog, case.dataset)
    assert len(lake.rows(f"silver.{case.dataset.name}")) == sent


STEPS = {
    "retention": "rows",
    "compact": "files_rewritten",
    "manifests": "rewritten",
    "expire": "snapshots",
    "orphans": "files",
}
"""Each step of maintenance, and the number that says that it did something."""


@contextmanager
def running(runner: StreamRunner) -> Iterator[StreamRunner]:
    """The stream at work in a thread of its own; stopped in good order afterwards."""
    leave = threading.Event()

    def tend() -> None:
        while not leave.wait(0.05):
            runner.tend()

    thread = threading.Thread(target=tend)
    thread.start()
    try:
        yield runner
    finally:
        leave.set()
        thread.join(60)
        runner.stop()


def await_rows_read(runner: StreamRunner, count: int) -> None:
    wait_until(lambda: runner.heartbeat.rows >= count or runner.ended, f"{count} rows are committed")
    assert not runner.ended, runner.error
