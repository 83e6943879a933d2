"""Fault 1: the stream is killed right after a commit, or its checkpoint is tampered with. The table decides."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from tests.streams import StreamCase, committed_rows, kill_group, launch, stream_case

from headwater.settings import Settings
from headwater.streaming.heartbeat import read_heartbeat, streams_dir

pytestmark = [pytest.mark.integration, pytest.mark.fault]


def test_goes_on_from_the_table_after_kill_9(stack: Settings, spark: SparkSession, tmp_path: Path):
    case = stream_case(stack)
    case.sales(*range(300))
    case.sales(*range(300, 400), partition=1)
    stream = launch(case, tmp_path)
    try:
        await_rows(case, 400, stream)
        case.sales(*range(400, 500))
        await_rows(case, 500, stream)
    finally:
        kill_group(stream)  # right after the commit was seen

    case.sales(*range(500, 550), partition=1)
    case.read_once(spark)

    assert case.places() == [(0, o) for o in range(400)] + [(1, o) for o in range(150)]
    assert len({row["event_id"] for row in case.bronze("event_id")}) == 550
    assert case.ledger(exact=True).unaccounted == 0


def test_what_a_checkpoint_says_means_nothing(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    case.sales(*range(20))
    case.read_once(spark)
    checkpoints = streams_dir(stack) / "checkpoints" / case.dataset.name
    (log,) = checkpoints.glob("*/offsets/0")
    head = log.read_text().splitlines()[:-1]
    log.write_text("\n".join([*head, json.dumps({case.dataset.topic: {"0": 3, "1": 0}})]))
    (log.parents[1] / "commits" / "0").unlink()
    case.sales(*range(20, 30))

    case.read_once(spark)

    assert case.places() == [(0, offset) for offset in range(30)]


def await_rows(case: StreamCase, rows: int, stream: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while True:
        beat = read_heartbeat(case.settings, case.dataset.name)
        assert stream.poll() is None, beat
        if committed_rows(case) >= rows:
            return
        assert time.monotonic() < deadline, beat
        time.sleep(0.05)
