"""The streaming application: one Spark, one query per dataset, until they have ended or somebody asks to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

from pyspark.sql import SparkSession

from headwater.contracts.model import Dataset
from headwater.settings import Settings
from headwater.streaming.heartbeat import Heartbeat
from headwater.streaming.runner import StreamRunner


def run(spark: SparkSession, settings: Settings, datasets: Sequence[Dataset], *, once: bool) -> dict[str, Any]:
    """Run the streams until all have ended or SIGTERM or SIGINT asks to stop; what each did.

    SIGHUP asks to try those again that have failed and that somebody named (`heartbeat.retry_file`). Raises the first
    stream's error where one has failed.
    """
    asked, again = threading.Event(), threading.Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        (again if number == signal.SIGHUP else asked).set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask)
    runners = [StreamRunner(spark, settings, dataset, once=once) for dataset in datasets]
    while not asked.is_set() and not all(runner.ended for runner in runners):
        revived = again.is_set()
        again.clear()
        for runner in runners:
            if revived:
                runner.revive()
            runner.tend()
        asked.wait(0.2)
    for runner in runners:
        runner.stop()
    for runner in runners:
        if runner.error is not None:
            raise runner.error
    streams = {runner.dataset.name: _outcome(runner.heartbeat) for runner in runners}
    return {"streams": streams, "rows": sum(runner.heartbeat.rows for runner in runners)}


def _outcome(beat: Heartbeat) -> dict[str, Any]:
    return {name: getattr(beat, name) for name in ("state", "rows", "snapshot_id", "offsets", "lag")}
