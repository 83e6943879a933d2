"""Fault 5: the local state of a stream (checkpoint, work folder) is lost with its machine. It goes on elsewhere."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from tests.streams import await_that, kill_group, launch, stream_case

from headwater.settings import Settings
from headwater.streaming.heartbeat import streams_dir

pytestmark = [pytest.mark.integration, pytest.mark.fault]


def test_a_stream_goes_on_on_another_machine(stack: Settings, spark: SparkSession, tmp_path: Path):
    case = stream_case(stack)
    case.sales(*range(30))
    lost = launch(case, tmp_path, STREAM_CRASH_AT="after-bronze-commit")  # nothing of the batch is checked off
    try:
        await_that(lambda: lost.poll() is not None, "it has reached the crash point", 120)
    finally:
        kill_group(lost)
    here = streams_dir(stack) / "checkpoints" / case.dataset.name
    assert list(here.glob("*/offsets/0")), "it had local state"
    case.sales(*range(30, 50))
    case.sales(*range(50, 60), partition=1)
    elsewhere = stack.model_copy(update={"home": tmp_path / "another machine"})

    case.read_once(spark, elsewhere)

    assert not (here.parent / case.dataset.name / "commits").exists()
    assert list((streams_dir(elsewhere) / "checkpoints" / case.dataset.name).glob("*")), "it worked elsewhere"
    assert case.places() == [(0, o) for o in range(50)] + [(1, o) for o in range(10)]
    assert len({row["event_id"] for row in case.bronze("event_id")}) == 60
    assert case.ledger(exact=True).unaccounted == 0
