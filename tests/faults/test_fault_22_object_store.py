"""Fault 22: the object store is away, or refuses writes. The batch fails whole and is tried again.

Nothing half-written is visible, and when the store is back every record is in bronze, once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from tests.conftest import environment
from tests.integration.s3.conftest import session_of_settings
from tests.minio import running_minio
from tests.streams import committed_rows, stream_case

from headwater.lake.catalog import get_catalog
from headwater.settings import Settings, get_settings
from headwater.streaming.runner import StreamRunner

# MinIO is built with Go where it is not on the PATH, which takes minutes.
pytestmark = [pytest.mark.integration, pytest.mark.fault, pytest.mark.thorough]

IMPATIENT = {"s3.retry.num-retries": "1", "s3.retry.min-wait-ms": "100", "s3.retry.max-wait-ms": "200"}
"""By default the SDK tries for a minute before it gives a batch up; what comes of it is the same."""


def test_a_stream_waits_for_a_store_that_is_away_and_writes_the_batch_once(
    stack: Settings, spark: SparkSession, tmp_path: Path
):
    with running_minio(tmp_path) as store, environment(**store.settings("away")):
        case = stream_case(get_settings())
        session = session_of_settings(spark)
        for name, value in IMPATIENT.items():
            session.conf.set(f"spark.sql.catalog.lake.{name}", value)
        runner = StreamRunner(session, get_settings(), case.dataset, once=False)
        try:
            case.sales(1)
            tend_until(runner, lambda: committed_rows(case) == 1)
            store.kill()
            case.sales(2, 3)
            tend_until(runner, lambda: runner.heartbeat.state == "retrying")
            assert "object store" in runner.heartbeat.reason
            store.start()
            assert committed_rows(case) == 1
            tend_until(runner, lambda: committed_rows(case) == 3)
        finally:
            runner.stop()
        assert case.places() == [(0, 0), (0, 1), (0, 2)]
        table = get_catalog().load_table(f"bronze.{case.dataset.name}")
        assert {task.file.file_path for task in table.scan().plan_files()} <= store.listed("away")
        line = case.ledger(exact=True).partitions[0]
        assert (line.read, line.unaccounted) == (3, 0)


def tend_until(runner: StreamRunner, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline, runner.heartbeat
        runner.tend()
        time.sleep(0.05)
