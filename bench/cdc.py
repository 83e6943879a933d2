"""From a Postgres table to silver by change data capture: what each stage costs, and a load while the table changes.

Up to a million rows the stages run one after the other, so that each has its own time: the first snapshot, an
incremental one, and updates of all rows, each into the topic (CPU of the Connect worker alone), into bronze and into
silver; then the comparison with the source. Of more rows the large table joins a connector that streams already, as
one does in production: an incremental snapshot, while its rows change and another table's changes go on; bronze reads
meanwhile. Both end with `cdc verify`, and fail where silver is not what the source is.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fastavro
import numpy as np
import psutil
from confluent_kafka import Consumer, TopicPartition
from pyspark.sql import SparkSession

from bench.captured_tables import ACCOUNTS, Bank, Changes, bank
from bench.measure import Measurement, Timing, timed_tree
from bench.topics import Context
from headwater.cdc.notifications import TABLE_READ, Notifications
from headwater.cdc.snapshots import resnapshot
from headwater.cdc.verification import verify
from headwater.contracts.iceberg import ensure_tables
from headwater.contracts.model import Dataset
from headwater.contracts.registry import RegistryClient
from headwater.embedded import processes
from headwater.embedded import stack as embedded
from headwater.errors import RetryableError, TerminalError
from headwater.kafka import client_config
from headwater.lake.catalog import get_catalog
from headwater.lake.silver import build
from headwater.settings import Settings, get_settings
from headwater.streaming.broker import Broker
from headwater.streaming.heartbeat import ENDED
from headwater.streaming.runner import StreamRunner
from headwater.streaming.session import stream_session

ROWS = 200_000
LARGEST_IN_STAGES = 1_000_000
SECONDS = 3600.0
POLL_SECONDS = 0.05
HEADER_BYTES = 5


def measure_cdc(context: Context) -> list[Measurement]:
    """Lines per stage; of more than a million rows, of the load."""
    rows = context.asked or ROWS
    embedded.up(["connect"], lambda name, text: None)
    with bank(rows) as found:
        spark = stream_session(get_settings())
        try:
            return list((_stages if rows <= LARGEST_IN_STAGES else _load)(found, spark))
        finally:
            spark.stop()


def _stages(found: Bank, spark: SparkSession) -> Iterator[Measurement]:
    """Each way in, stage by stage."""

    def update() -> None:
        found.execute(f"UPDATE bank.{ACCOUNTS} SET balance = balance + 1, changed_at = now()")

    ways: dict[str, Callable[[], Any]] = {
        "first snapshot": lambda: found.apply(found.accounts, found.tellers),
        "incremental snapshot": lambda: resnapshot(found.settings, found.of(found.accounts), SECONDS),
        "streamed updates": update,
    }
    for way, begin in ways.items():
        before = found.messages() if way != "first snapshot" else 0
        with timed_worker(found.settings) as captured:
            begin()
            found.arrive()
        came = found.messages() - before
        with timed_tree() as decoded:
            _read_once(spark, found.settings, found.accounts)
        with timed_tree() as merged:
            built = _build(spark, found.accounts)
        notes = {name: built[name] for name in ("mode", "files_opened", "bytes_written")}
        yield captured.of(f"{way}, Postgres to topic", came)
        yield decoded.of(f"{way}, topic to bronze", came)
        yield merged.of(f"{way}, bronze to silver", came, **notes)
        yield _whole(f"{way}, Postgres to silver", found.rows, captured, decoded, merged)
    yield _verified(found)


def _load(found: Bank, spark: SparkSession) -> Iterator[Measurement]:
    """The large table joins while changes stream."""
    found.apply(found.tellers)
    found.arrive()
    with Changes(found) as changes:
        with timed_worker(found.settings) as captured, timed_children() as decoded:
            found.apply(found.accounts, found.tellers)
            runner = StreamRunner(spark, found.settings, found.accounts, once=False)
            try:
                _follow(runner, lambda: _is_loaded(found))
                _follow(runner, lambda: runner.heartbeat.rows >= found.rows)
            finally:
                runner.stop()
        came = found.messages()
        with timed_tree() as merged:
            _build(spark, found.accounts)
        made = changes.made
    late = _delays(found)
    notes = {"changes_meanwhile": made, "change_to_topic_p50_ms": late[0], "change_to_topic_p99_ms": late[1]}
    yield captured.of("load while changes stream, Postgres to topic", came, **notes)
    yield decoded.of("load while changes stream, topic to bronze, meanwhile", came)
    yield merged.of("load while changes stream, bronze to silver", came)
    seconds, cpu = captured.seconds + merged.seconds, captured.cpu_seconds + decoded.cpu_seconds + merged.cpu_seconds
    yield Measurement("load while changes stream, Postgres to silver", found.rows, seconds, cpu)
    found.arrive()
    with timed_tree() as rest:
        behind = _read_once(spark, found.settings, found.accounts)
        built = _build(spark, found.accounts)
    yield rest.of("the changes since, topic to silver", behind, rows_rewritten=built["rows_deleted"])
    yield _verified(found)


def _is_loaded(found: Bank) -> bool:
    """Whether the connector has told that it has read the large table whole."""
    if found.messages() < found.rows:
        return False
    with Notifications(found.settings, found.capture) as told:
        return any(
            one.step == TABLE_READ and one.table == found.accounts.source_name for one in told.read(0, told.end())
        )


def _follow(runner: StreamRunner, reached: Callable[[], bool]) -> None:
    """Have the stream go on until something holds."""
    deadline = time.monotonic() + SECONDS
    while not reached():
        for _ in range(10):  # what is awaited is asked for less often than the stream is tended
            runner.tend()
            time.sleep(POLL_SECONDS)
        if runner.heartbeat.state in ENDED or time.monotonic() > deadline:
            raise runner.error or RetryableError("the load did not end in time", where=str(runner.heartbeat))


def _read_once(spark: SparkSession, settings: Settings, dataset: Dataset) -> int:
    """What the topic has, into bronze; how many rows."""
    runner = StreamRunner(spark, settings, dataset, once=True)
    while not runner.ended:
        runner.tend()
        time.sleep(POLL_SECONDS)
    if runner.error is not None:
        raise runner.error
    return runner.heartbeat.rows


def _build(spark: SparkSession, dataset: Dataset) -> dict[str, Any]:
    ensure_tables(get_catalog(), dataset)
    return build(spark, get_catalog(), dataset)


def _whole(what: str, rows: int, *stages: Timing) -> Measurement:
    """All stages of a way as one, over the source's rows."""
    return Measurement(what, rows, sum(s.seconds for s in stages), sum(s.cpu_seconds for s in stages))


def _verified(found: Bank) -> Measurement:
    """Compare with the source; a difference fails the part."""
    with timed_tree() as timing:
        told = verify(found.settings, found.accounts.name, wait=SECONDS)
    if not told.equal or told.unsettled:
        raise TerminalError(f"silver is not what the source is: {told.counts}", where=found.accounts.name)
    memory = round(psutil.Process().memory_info().rss / 2**20)
    return timing.of("cdc verify: equal", told.source_rows, ranges=told.ranges, memory_mib=memory)


@contextmanager
def timed_worker(settings: Settings) -> Iterator[Timing]:
    """Wall seconds, and CPU seconds of the Connect worker."""
    running = processes.find(settings, "connect")
    if running is None:
        raise TerminalError("the worker is not of this stack, so nobody can tell its CPU", where=settings.connect_url)
    with _timed([running.process]) as timing:
        yield timing


@contextmanager
def timed_children() -> Iterator[Timing]:
    """Wall seconds, and CPU seconds of the processes that this one has started: Spark's JVM."""
    with _timed(psutil.Process().children(recursive=True)) as timing:
        yield timing


@contextmanager
def _timed(measured: list[psutil.Process]) -> Iterator[Timing]:
    def cpu() -> float:
        times = [process.cpu_times() for process in measured]
        return float(sum(t.user + t.system for t in times))

    timing, wall, before = Timing(), time.perf_counter(), cpu()
    yield timing
    timing.seconds, timing.cpu_seconds = time.perf_counter() - wall, cpu() - before


def _delays(found: Bank) -> tuple[int, int]:
    """Milliseconds from a commit in the source until the worker sent it, of the small table's changes: p50 and p99."""
    topic, late = found.tellers.topic, []
    consumer = Consumer(client_config(found.settings, group_id="bench-cdc", enable_auto_commit=False))
    with RegistryClient(found.settings) as registry:
        schemas = {number: fastavro.parse_schema(schema) for number, schema in registry.ids(f"{topic}-value").items()}
    for partition, end in Broker(found.settings).ends(topic).items():
        consumer.assign([TopicPartition(topic, partition, 0)])
        for _ in range(end):
            message = consumer.poll(10)
            if message is None or message.error() is not None:
                raise RetryableError("a change cannot be read back", where=f"{topic}-{partition}")
            value = message.value() or b""
            schema = schemas[int.from_bytes(value[1:HEADER_BYTES], "big")]
            change: Any = fastavro.schemaless_reader(io.BytesIO(value[HEADER_BYTES:]), schema, None)
            if change["op"] == "u":
                late.append(message.timestamp()[1] - change["source"]["ts_ms"])
    consumer.close()
    p50, p99 = np.percentile(late, [50, 99])
    return round(float(p50)), round(float(p99))
