"""Writing the audit trail: many callers, one chain.

What several callers record at the same time goes into one transaction, so that a caller waits for a commit and the
trail keeps up with a thousand and more a second; an advisory lock keeps the processes in one order. Whoever cannot be
recorded is to be denied: `record` raises, and nothing is kept back to be written later.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg

from headwater.audit.anchoring import Anchor
from headwater.audit.chain import GENESIS, WRITE_LOCK, become_writer, ensure_table, link
from headwater.audit.entries import Entry, Outcome, canonical
from headwater.errors import RetryableError
from headwater.settings import Settings

log = logging.getLogger(__name__)

WAIT_SECONDS = 5.0
IDLE_SECONDS = 1.0
MOST_AT_ONCE = 1000
MOST_WAITING = 20_000
MOST_REFUSED = 100
_OPTIONS = "-c statement_timeout=4s -c lock_timeout=4s -c idle_in_transaction_session_timeout=4s"
"""A writer that is stopped in the middle is ended by Postgres, or nobody would be recorded until it goes on."""
_HEAD = "SELECT sequence, hash, entry::jsonb ->> 'at' FROM audit_entries ORDER BY sequence DESC LIMIT 1"
_INSERT = """
INSERT INTO audit_entries (sequence, previous, hash, entry)
SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[], %s::text[])
"""


class AuditUnavailable(RetryableError):
    """The audit trail cannot be written, so nothing may be handed out or changed."""


class _Waiting(NamedTuple):
    entry: Entry
    future: Future[int]


class Auditor:
    """Writes entries, until `close`. One per process; thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._anchor = Anchor(settings)
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(MOST_WAITING)
        self._connection: psycopg.Connection | None = None
        self._used_at = 0.0
        self._head = (0, GENESIS)
        self._unanchored = 0
        self._anchor_fails = False
        self._anchored_at = time.monotonic()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._refused, self._refused_since = 0, float("-inf")

    def record(self, entry: Entry) -> int:
        """Keep an entry; returns its number once it is committed. Raises `AuditUnavailable`: then deny."""
        future = self.submit(entry)
        try:
            return future.result(WAIT_SECONDS)
        except NotInTime:
            future.cancel()
            raise _unavailable(f"it took more than {WAIT_SECONDS:.0f} s") from None

    def submit(self, entry: Entry) -> Future[int]:
        """As `record`, without waiting: the future has the number, or `AuditUnavailable`."""
        future: Future[int] = Future()
        with self._starting:
            if self._closed:
                future.set_exception(_unavailable("it is closed"))
                return future
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
                self._thread.start()
            try:
                self._waiting.put_nowait(_Waiting(entry, future))
            except queue.Full:
                future.set_exception(_unavailable(f"more than {MOST_WAITING} entries wait"))
        return future

    def refused(self, surface: str, source: str) -> None:
        """Keep that somebody came whom nobody knows; a hundred a minute, and of the others their number.

        They are denied in any case, so this raises nothing, and waits for nothing.
        """
        with self._starting:
            now = time.monotonic()
            more = 0
            if now - self._refused_since >= 60:
                more = max(0, self._refused - MOST_REFUSED)
                self._refused_since, self._refused = now, 0
            self._refused += 1
            if self._refused > MOST_REFUSED:
                return
        reason = f"not authenticated, and {more} more in a minute before" if more else "not authenticated"
        self.submit(Entry("unauthenticated", surface, "login", source=source, outcome=Outcome.DENIED, reason=reason))

    def close(self) -> None:
        """Write what waits, sign how far it went, and let go."""
        with self._starting:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
        if thread is not None:
            self._waiting.put(None)
            thread.join(2 * WAIT_SECONDS)

    # --- the writer's thread

    def _run(self) -> None:
        while True:
            batch, last = self._next()
            if batch:
                self._keep(batch)
            if self._unanchored and (last or self._anchor_due()):
                with contextlib.suppress(AuditUnavailable):  # said in the log; the next batch tries again, and fails
                    self._checkpoint()
            if last:
                self._disconnect()
                return

    def _next(self) -> tuple[list[_Waiting], bool]:
        """What waits, and whether it is the last. Nothing, where a checkpoint is due before anything comes."""
        timeout = max(0.0, self._anchored_at + self._settings.audit_checkpoint_seconds - time.monotonic())
        batch: list[_Waiting] = []
        try:
            one = self._waiting.get(timeout=timeout if self._unanchored else None)
            while one is not None:
                if one.future.set_running_or_notify_cancel():
                    batch.append(one)
                if len(batch) >= MOST_AT_ONCE:
                    return batch, False
                one = self._waiting.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _keep(self, batch: Sequence[_Waiting]) -> None:
        try:
            if self._unanchored and self._anchor_due():
                self._checkpoint()
            first = self._write([one.entry for one in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are denied, and the thread goes on
            self._disconnect()
            log.error("audit: %d entries could not be written: %s", len(batch), _first_line(error))
            for one in batch:
                one.future.set_exception(_unavailable(type(error).__name__))
            return
        for number, one in enumerate(batch, first):
            one.future.set_result(number)

    def _write(self, entries: Sequence[Entry]) -> int:
        """Append these to the chain in one transaction; the number of the first."""
        connection = self._connected()
        with connection.transaction():
            with connection.pipeline():
                connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (WRITE_LOCK,))
                cursor = connection.execute(_HEAD)
            sequence, previous, latest = cursor.fetchone() or (0, GENESIS, "")
            first, rows, digest = sequence + 1, [], bytes(previous)
            at = max(datetime.now(UTC).isoformat(timespec="microseconds"), latest)
            for sequence, entry in enumerate(entries, first):
                text = canonical(entry, at)
                before, digest = digest, link(digest, sequence, text)
                rows.append((sequence, before, digest, text))
            connection.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
        self._head = (sequence, digest)
        self._unanchored += len(rows)
        return int(first)

    def _connected(self) -> psycopg.Connection:
        if self._connection is not None and time.monotonic() - self._used_at > IDLE_SECONDS:
            try:
                self._connection.execute("SELECT 1")
            except psycopg.OperationalError:
                self._disconnect()  # the server was restarted since
        self._used_at = time.monotonic()
        if self._connection is None:
            settings = self._settings
            connection = psycopg.connect(
                settings.postgres_dsn(settings.postgres_platform_database),
                autocommit=True,
                connect_timeout=3,
                application_name="headwater audit",
                options=_OPTIONS,
            )
            try:
                ensure_table(connection)
                become_writer(connection)
            except psycopg.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # --- checkpoints

    def _anchor_due(self) -> bool:
        settings = self._settings
        if self._anchor_fails:
            return True
        long_ago = time.monotonic() - self._anchored_at >= settings.audit_checkpoint_seconds
        return long_ago or self._unanchored >= settings.audit_checkpoint_entries

    def _checkpoint(self) -> None:
        """Sign how far the chain is. Raises `AuditUnavailable`: without anchors a trail proves nothing."""
        try:
            self._anchor.append(*self._head)
        except Exception as error:  # whatever it is, the writer's thread goes on, and denies
            self._anchor_fails, self._anchored_at = True, time.monotonic()
            log.error("audit: no checkpoint could be written: %s", _first_line(error))
            raise _unavailable(f"no checkpoint could be written ({type(error).__name__})") from error
        self._unanchored, self._anchor_fails, self._anchored_at = 0, False, time.monotonic()


def _unavailable(why: str) -> AuditUnavailable:
    return AuditUnavailable(
        f"the audit trail cannot be written: {why}",
        remedy="nothing is handed out without it; see `headwater status`, then `headwater up postgres`",
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().partition("\n")[0]
