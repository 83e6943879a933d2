"""From an event's due time until ClickHouse answers with it, at three rates; and how long a killed stream is away.

The stream runs as a process of its own, as `headwater stream start` runs it, with its trigger as set.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench import clicks
from bench.clicks import Offer, Watch
from bench.measure import Measurement
from bench.topics import Context
from headwater.settings import get_settings

RATES = (1_000, 10_000, 50_000)
SECONDS = 20.0
TARGET_RATE, P50_AT_MOST, P99_AT_MOST = 10_000, 2.0, 5.0
RECOVERY_AT_MOST = 30.0
CATCH_UP_SECONDS = 180.0
WARM_UP_EVENTS = 50_000


def measure_freshness(context: Context) -> list[Measurement]:
    """A line per rate, and one for the recovery."""
    with clicks.project() as project:
        watch = Watch()
        try:
            return _measure(project, watch)
        finally:
            watch.stop()
            clicks.remove(get_settings())


def _measure(project: Path, watch: Watch) -> list[Measurement]:
    lines = []
    with stream(project) as process:
        next_event = _offer(watch, WARM_UP_EVENTS // 10, 10.0, 0).next
        for rate in RATES:
            offer = _offer(watch, rate, SECONDS, next_event)
            next_event = offer.next
            lines.append(_line(rate, offer, watch))
        offer = Offer(TARGET_RATE, SECONDS, first=next_event)
        offer.start()
        time.sleep(SECONDS / 4)  # the moment of the kill: in the middle of steady work
        process.kill()
        process.wait()
        killed = time.time()
        with stream(project):
            watch.await_events(offer.finish(), CATCH_UP_SECONDS)
    first = next(seen.at for seen in watch.seen if seen.at > killed + 1.0) - killed
    late = watch.delays(offer)
    notes = {"first_rows_after_s": round(first, 1), "oldest_event_s": round(float(late.max()), 1)}
    recovered = Measurement("kill -9 of the stream, started again at once", len(late), SECONDS, notes=notes)
    return [*lines, _judged(recovered, passed=late.max() <= RECOVERY_AT_MOST)]


def _judged(line: Measurement, *, passed: bool) -> Measurement:
    return Measurement(line.what, line.rows, line.seconds, passed=bool(passed), notes=line.notes)


@contextmanager
def stream(project: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The streaming application with this one stream; it is asked to end afterwards."""
    log = (project / "stream.log").open("ab")
    command = [sys.executable, str(project / "spark_jobs" / "ingest_stream.py"), "--dataset", clicks.NAME]
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def _offer(watch: Watch, rate: int, seconds: float, first: int) -> Offer:
    """Offer events and wait until all are in the live table."""
    offer = Offer(rate, seconds, first=first)
    offer.start()
    watch.await_events(offer.finish(), CATCH_UP_SECONDS)
    return offer


def _line(rate: int, offer: Offer, watch: Watch) -> Measurement:
    p50, p99 = np.percentile(watch.delays(offer), [50, 99])
    notes = {"p50_s": round(float(p50), 2), "p99_s": round(float(p99), 2)}
    passed = bool(p50 < P50_AT_MOST and p99 < P99_AT_MOST) if rate == TARGET_RATE else None
    return Measurement(
        f"event to ClickHouse, {rate:,} events/s", offer.next - offer.first, SECONDS, passed=passed, notes=notes
    )
