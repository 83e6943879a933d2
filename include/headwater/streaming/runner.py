"""One stream of the application: a Spark query, started from what its bronze table says, and again when it fails.

A query that fails is started anew in the same process, after a pause that doubles; every start discards Spark's
checkpoint and asks the table where to begin, so that it does not matter where the last one ended. What cannot pass by
itself (`TerminalError`) ends the stream with its reason in the heartbeat. So does another process that has taken the
stream's lease; that one then tells the world, and this one is silent.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from pyiceberg.catalog import Catalog
from pyspark.errors.exceptions.base import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from sqlalchemy.exc import SQLAlchemyError

from headwater.contracts.iceberg import apply_table
from headwater.contracts.model import Dataset
from headwater.contracts.registry import RegistryClient
from headwater.errors import HeadwaterError, RetryableError, TerminalError
from headwater.lake.catalog import catalog_as, dispose
from headwater.lake.sessions import session_as
from headwater.lake.storage import is_away
from headwater.settings import Settings
from headwater.streaming import crash, gaps
from headwater.streaming.broker import Broker
from headwater.streaming.following import Following
from headwater.streaming.heartbeat import ENDED, Heartbeat, now, retry_file
from headwater.streaming.lease import FencedOut, Lease, is_fenced
from headwater.streaming.lease_rows import LeaseUnreachable, Wanted
from headwater.streaming.ledger import Account, nearest_account, to_json
from headwater.streaming.positions import starting_account
from headwater.streaming.query import fresh_checkpoint, open_query
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


class StreamRunner:
    """One stream: its lease, its query, and what becomes of it when it fails."""

    def __init__(self, spark: SparkSession, settings: Settings, dataset: Dataset, *, once: bool):
        self.dataset = dataset
        self.heartbeat = Heartbeat(dataset.name, application_id=str(spark.sparkContext.applicationId))
        self.error: HeadwaterError | None = None
        self._spark, self._settings, self._once = spark, settings, once
        self._broker = Broker(settings)
        self._schemas = SubjectSchemas(RegistryClient(settings), dataset.subject)
        self._lease = Lease(settings, dataset.name)
        self._catalog: Catalog | None = None
        self._stopping = threading.Event()
        self._query: StreamingQuery | None = None
        self._sink: BronzeSink | None = None
        self._failure: BaseException | None = None
        self._following = Following(dataset, wanted=not once)
        self._failures = self._unforeseen = 0
        self._next_start = self._next_beat = self._drained_by = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of this stream."""
        return self.heartbeat.state in ENDED

    def tend(self) -> None:
        """Start what is due, look at what runs, write the heartbeat. To be called every now and then."""
        if self.ended:
            return
        if self._lease.wanted is not Wanted.RUNNING and not self._once:
            self._wind_up()
        elif self._query is None:
            if time.monotonic() >= self._next_start:
                self._attempt()
        elif not self._query.isActive:
            self._after(self._query)
        if not self.ended and time.monotonic() >= self._next_beat:
            self.beat()

    def _attempt(self) -> None:
        try:
            self._start()
        except Exception as error:  # noqa: BLE001  (whatever it is, it is judged, told and tried again)
            self._failed(error)

    def _start(self) -> None:
        self._lease.acquire()
        if self._lease.wanted is not Wanted.RUNNING and not self._once:
            return
        topic = self._broker.topic(self.dataset.topic)
        catalog = self._own_catalog()
        apply_table(catalog, self.dataset, f"bronze.{self.dataset.name}")
        account = starting_account(self.dataset.name, self._recorded(catalog), topic)
        checkpoint = fresh_checkpoint(self._settings, self.dataset.name)
        self._failure, self._drained_by = None, 0.0
        self._stopping = threading.Event()
        self._sink = BronzeSink(
            self.dataset,
            catalog,
            self._broker,
            self._schemas,
            checkpoint=checkpoint,
            account=account,
            fence=self._lease.check,
            committing=lambda: crash.committing(self._settings, self.dataset.name, self._lease.connection_name),
            stopping=self._stopping,
            report=self._report,
            committed=self._committed,
        )
        self.heartbeat.offsets = dict(account.offsets)
        # Its commits go over connections that bear the lease's token: the catalog refuses them once that is an old one.
        session = session_as(self._spark, self._lease.connection_name)
        read = partial(open_query, session, self._settings, self.dataset, account.offsets, checkpoint, self._write)
        self._query = read(once=self._once, failures=self._failures)
        self._report("running", "")
        self._following.start(self._lease.token)
        log.info("%s: reading %s from %s", self.dataset.name, self.dataset.topic, to_json(account.offsets))

    def _own_catalog(self) -> Catalog:
        """The catalog for what is committed from Python, by connections with the lease's token in their name."""
        former, self._catalog = self._catalog, catalog_as(self._lease.connection_name)
        if former is not None:
            dispose(former)
        return self._catalog

    def _recorded(self, catalog: Catalog) -> Account | None:
        """What the table says, with the offsets of its last batch settled if the process died before that."""
        table = catalog.load_table(f"bronze.{self.dataset.name}")
        recorded = nearest_account(table)
        if recorded is not None and recorded.unproven:
            return gaps.settled(table, recorded, self._broker, self.dataset.topic)
        return recorded

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
        self._following.wake()

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
        if isinstance(error, FencedOut) or is_fenced(self._lease):
            self._fenced(error)
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

    def _fenced(self, error: BaseException) -> None:
        """Another has taken over: end at once, in silence. What is under way is refused where it would commit."""
        self._stopping.set()
        self.error = error if isinstance(error, FencedOut) else self._lease.fenced_out()
        log.error("%s", self.error)
        query, self._query = self._query, None
        if query is not None:
            query.stop()
        self._following.stop()
        self._report("fenced", str(self.error))
        self._lease.leave()

    def revive(self) -> None:
        """Try a stream that has ended once more, if asked to: somebody may have mended what it failed on."""
        asked = retry_file(self._settings, self.dataset.name)
        if asked.exists() and self.ended:
            self.error = None
            self._failures = self._unforeseen = 0
            self._next_start = self._drained_by = 0.0
            self._stopping = threading.Event()
            self._lease = Lease(self._settings, self.dataset.name)
            self.heartbeat.started_at = now()
            self.heartbeat.awaited.clear()  # the topic may be another now
            self._report("starting", "")
        asked.unlink(missing_ok=True)

    def _wind_up(self) -> None:
        """People want it stopped, or drained: then the live table is to have all that bronze has."""
        if self._lease.wanted is Wanted.STOPPED:
            self.stop()
        elif not self._drained_by:
            self._stopping.set()  # a batch that waits for the registry gives up; the next start reads it again
            self._halt()
            self._following.expect()
            self._drained_by = time.monotonic() + self._settings.stream_drain_seconds
            self._report("draining", "")
        elif self._following.caught_up():
            self.stop()
        elif time.monotonic() > self._drained_by:
            why = self._following.state.get("reason") or "it takes too long"
            self.stop(f"drained, but the live table is behind bronze: {why}")

    def stop(self, reason: str = "") -> None:
        """Let the batch that is being written end, then end the query."""
        self._stopping.set()
        self._halt()
        self._following.stop()
        if not self.ended:
            self._end("stopped", reason)

    def _halt(self) -> None:
        query, sink = self._query, self._sink
        if query is not None and sink is not None:
            with sink.turn:
                query.stop()
            self._query = None

    def _end(self, state: str, reason: str) -> None:
        self._following.stop()
        self._report(state, reason)
        self.beat(held=False)

    def _report(self, state: str, reason: str) -> None:
        self.heartbeat.state, self.heartbeat.reason = state, reason

    def beat(self, *, held: bool = True) -> None:
        """Write the heartbeat, with the lag as the broker has it now; with `held=False` give the lease back."""
        self._next_beat = time.monotonic() + HEARTBEAT_SECONDS
        beat = self.heartbeat
        beat.live, beat.heartbeat_at = self._following.state, now()
        try:
            beat.behind(self._broker.ends(self.dataset.topic), beat.heartbeat_at)
        except HeadwaterError as error:
            beat.lag_reason = str(error)
        try:
            self._lease.beat(beat.state, beat.reason, beat.facts(), held=held)
        except FencedOut as error:
            self._fenced(error)
        except LeaseUnreachable as error:
            log.warning("%s: the heartbeat could not be written: %s", self.dataset.name, error)


def _foreseen(error: BaseException) -> HeadwaterError | None:
    """The platform's own error, or that of a service which is down; None for what nobody foresaw."""
    if isinstance(error, HeadwaterError):
        return error
    if isinstance(error, SQLAlchemyError):
        return RetryableError(f"the Iceberg catalog did not answer: {_first_lines(error)}", where="catalog")
    if is_away(error):
        return RetryableError(f"the object store did not answer: {_first_lines(error)}", where="lake")
    if isinstance(error, StreamingQueryException) and "Connection refused" in str(error):
        return RetryableError(f"a service did not answer: {_first_lines(error)}")
    return None


def _first_lines(error: BaseException) -> str:
    """What happened, and what of: Java's errors name their cause far below."""
    lines = str(error).split("\n")
    causes = [line for line in lines[3:] if line.startswith("Caused by: ")]
    return f"{type(error).__name__}: " + " ".join([*lines[:3], *causes[-1:]])[:600]
