"""One stream of the application: a Spark query, started from what its bronze table says, and again when it fails.

A query that fails is started anew in the same process, after a pause that doubles; every start discards Spark's
checkpoint and asks the table where to begin, so that it does not matter where the last one ended. What cannot pass by
itself (`TerminalError`) ends the stream with its reason in the heartbeat.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from pyiceberg.catalog import Catalog
from pyspark.errors.exceptions.base import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from sqlalchemy.exc import SQLAlchemyError

from headwater.contracts.iceberg import apply_table
from headwater.contracts.model import Dataset
from headwater.contracts.registry import RegistryClient
from headwater.errors import HeadwaterError, RetryableError, TerminalError
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings
from headwater.streaming import gaps
from headwater.streaming.broker import Broker, spark_kafka_options
from headwater.streaming.fence import WriterLock
from headwater.streaming.heartbeat import Heartbeat, now, retry_file, streams_dir
from headwater.streaming.ledger import Account, nearest_account, to_json
from headwater.streaming.live import LiveFollower
from headwater.streaming.positions import starting_account
from headwater.streaming.sink import BronzeSink, Progress, StreamStopped
from headwater.streaming.writers import SubjectSchemas

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
UNFORESEEN_FAILURES = 10
"""So many failures that nobody foresaw, without a batch between them, end a stream: with the pauses, four minutes."""
FAILURES_ONCE = 5
"""So many failures of any kind end a run that reads what is there (`once`)."""
HEARTBEAT_SECONDS = 2.0
FOLLOWER_SECONDS = 15.0
"""How long the end of a stream waits for the live follower to end its insert; it loses nothing if it is cut off."""


class StreamRunner:
    """One stream: its query, and what becomes of it when it fails."""

    def __init__(self, spark: SparkSession, settings: Settings, dataset: Dataset, *, once: bool):
        self.dataset = dataset
        self.heartbeat = Heartbeat(dataset.name)
        self.error: HeadwaterError | None = None
        self._spark, self._settings, self._once = spark, settings, once
        self._broker = Broker(settings)
        self._schemas = SubjectSchemas(RegistryClient(settings), dataset.subject)
        self._lock = WriterLock(spark, settings, dataset.name)
        self._stopping = threading.Event()
        self._query: StreamingQuery | None = None
        self._sink: BronzeSink | None = None
        self._failure: BaseException | None = None
        self._follower = LiveFollower(dataset) if dataset.live is not None and not once else None
        self._following: threading.Thread | None = None
        self._failures = self._unforeseen = 0
        self._next_start = 0.0
        self._next_beat = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of this stream."""
        return self.heartbeat.state in ("failed", "stopped", "finished")

    def tend(self) -> None:
        """Start what is due, look at what runs, write the heartbeat. To be called every now and then."""
        if self._query is None:
            if not self.ended and time.monotonic() >= self._next_start:
                self._attempt()
        elif not self._query.isActive:
            self._after(self._query)
        if time.monotonic() >= self._next_beat:
            self.beat()

    def _attempt(self) -> None:
        try:
            self._start()
        except Exception as error:  # noqa: BLE001  (whatever it is, it is judged, told and tried again)
            self._failed(error)

    def _start(self) -> None:
        self._lock.acquire()
        topic = self._broker.topic(self.dataset.topic)
        catalog = get_catalog()
        apply_table(catalog, self.dataset, f"bronze.{self.dataset.name}")
        account = starting_account(self.dataset.name, self._recorded(catalog), topic)
        checkpoint = _fresh_checkpoint(self._settings, self.dataset.name)
        self._failure = None
        self._sink = BronzeSink(
            self.dataset,
            catalog,
            self._broker,
            self._schemas,
            checkpoint=checkpoint,
            account=account,
            fence=self._lock.check,
            stopping=self._stopping,
            report=self._report,
            committed=self._committed,
        )
        self.heartbeat.offsets = dict(account.offsets)
        self._query = self._open(account, checkpoint)
        self._report("running", "")
        self._follow()
        log.info("%s: reading %s from %s", self.dataset.name, self.dataset.topic, to_json(account.offsets))

    def _follow(self) -> None:
        """Start the live follower, once; it looks after itself."""
        if self._follower is not None and self._following is None:
            self._following = threading.Thread(
                target=self._follower.follow, args=(self._stopping,), name=f"live-{self.dataset.name}", daemon=True
            )
            self._following.start()

    def _recorded(self, catalog: Catalog) -> Account | None:
        """What the table says, with the offsets of its last batch settled if the process died before that."""
        table = catalog.load_table(f"bronze.{self.dataset.name}")
        recorded = nearest_account(table)
        if recorded is not None and recorded.unproven:
            return gaps.settled(table, recorded, self._broker, self.dataset.topic)
        return recorded

    def _open(self, account: Account, checkpoint: Path) -> StreamingQuery:
        topic, settings = self.dataset.topic, self._settings
        options = spark_kafka_options(settings) | {
            "subscribe": topic,
            "startingOffsets": f'{{"{topic}":{to_json(account.offsets)}}}',
            "failOnDataLoss": "true",
            "maxOffsetsPerTrigger": str(settings.stream_max_offsets_per_trigger),
            # Fewer, larger answers from the broker.
            "kafka.max.poll.records": "10000",
            "kafka.max.partition.fetch.bytes": str(4 * 1024 * 1024),
        }
        records = self._spark.readStream.format("kafka").options(**options).load()
        writer = records.writeStream.foreachBatch(self._write).queryName(self.dataset.name)
        writer = writer.option("checkpointLocation", f"file://{checkpoint}")
        if self._once:
            return writer.trigger(availableNow=True).start()
        return writer.trigger(processingTime=settings.stream_trigger_interval).start()

    def _write(self, batch: DataFrame, batch_id: int) -> None:
        assert self._sink is not None  # noqa: S101  (set before the query starts)
        try:
            self._sink(batch, batch_id)
        except BaseException as error:
            self._failure = error  # Spark would hand it on as text only
            raise

    def _committed(self, progress: Progress) -> None:
        beat = self.heartbeat
        beat.rows += progress.rows
        beat.batch_rows, beat.batch_seconds = progress.rows, round(progress.seconds, 3)
        beat.offsets, beat.snapshot_id = dict(progress.account.offsets), progress.account.snapshot_id
        beat.last_progress_at = now()
        self._failures = self._unforeseen = 0
        self._report("running", "")
        if self._follower is not None:
            self._follower.wake.set()

    def _after(self, query: StreamingQuery) -> None:
        """The query has ended: all read (`once`), or it failed."""
        self._query = None
        error = query.exception()
        if error is None and self._failure is None:
            self._end("finished" if self._once else "stopped", "")
        else:
            self._failed(self._failure or error or RuntimeError("the query ended without a reason"))

    def _failed(self, error: BaseException) -> None:
        """Decide whether to try again."""
        if isinstance(error, StreamStopped):
            self._end("stopped", "")
            return
        known = _foreseen(error)
        self._failures += 1
        self._unforeseen += known is None
        terminal = isinstance(known, TerminalError) or self._unforeseen >= UNFORESEEN_FAILURES
        if self._once and self._failures >= FAILURES_ONCE:
            terminal = True
        reason = str(known or _first_lines(error))
        log.error("%s: %s", self.dataset.name, reason, exc_info=None if known else error)
        if terminal:
            self.error = known or TerminalError(reason, where=self.dataset.name, remedy="see the log of the stream")
            self._end("failed", reason)
            return
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1), LONGEST_PAUSE_SECONDS)
        self._next_start = time.monotonic() + pause
        self.heartbeat.attempts += 1
        self._report("retrying", reason)

    def revive(self) -> None:
        """Try a stream that has failed once more, if asked to: somebody may have mended what it failed on."""
        asked = retry_file(self._settings, self.dataset.name)
        if asked.exists() and self.heartbeat.state == "failed":
            self.error = None
            self._failures = self._unforeseen = 0
            self.heartbeat.started_at = now()
            self._report("starting", "")
            self.beat()
        asked.unlink(missing_ok=True)

    def stop(self) -> None:
        """Let the batch that is being written end, then end the query."""
        self._stopping.set()
        query, sink = self._query, self._sink
        if query is not None and sink is not None:
            with sink.turn:
                query.stop()
            self._query = None
        if self._following is not None and self._follower is not None:
            self._follower.wake.set()
            self._following.join(FOLLOWER_SECONDS)
        if not self.ended:
            self._end("stopped", "")

    def _end(self, state: str, reason: str) -> None:
        self._report(state, reason)
        self._lock.release()
        self.beat()

    def _report(self, state: str, reason: str) -> None:
        self.heartbeat.state, self.heartbeat.reason = state, reason

    def beat(self) -> None:
        """Write the heartbeat, with the lag as the broker has it now."""
        self._next_beat = time.monotonic() + HEARTBEAT_SECONDS
        beat = self.heartbeat
        if self._follower is not None:
            beat.live = dict(self._follower.state)
        try:
            ends = self._broker.ends(self.dataset.topic)
            beat.lag = {partition: end - beat.offsets.get(partition, 0) for partition, end in ends.items()}
        except HeadwaterError as error:
            beat.lag_reason = str(error)
        else:
            beat.lag_reason = ""
        beat.write(self._settings)


def _fresh_checkpoint(settings: Settings, dataset: str) -> Path:
    """An empty folder; those of earlier starts are removed. It lies on the driver's own disk."""
    parent = streams_dir(settings) / "checkpoints" / dataset
    shutil.rmtree(parent, ignore_errors=True)
    checkpoint = parent / uuid.uuid4().hex
    checkpoint.mkdir(parents=True)
    return checkpoint


def _foreseen(error: BaseException) -> HeadwaterError | None:
    """The platform's own error, or that of a service which is down; None for what nobody foresaw."""
    if isinstance(error, HeadwaterError):
        return error
    if isinstance(error, SQLAlchemyError):
        return RetryableError(f"the Iceberg catalog did not answer: {_first_lines(error)}", where="catalog")
    if isinstance(error, StreamingQueryException) and "Connection refused" in str(error):
        return RetryableError(f"a service did not answer: {_first_lines(error)}")
    return None


def _first_lines(error: BaseException) -> str:
    """What happened, and what of: Java's errors name their cause far below."""
    lines = str(error).split("\n")
    causes = [line for line in lines[3:] if line.startswith("Caused by: ")]
    return f"{type(error).__name__}: " + " ".join([*lines[:3], *causes[-1:]])[:600]
