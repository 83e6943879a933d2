"""The right to write one stream: a lease with a token, renewed by a thread as long as this process runs.

Whoever takes the lease gets a higher token than all before and raises the catalog's fence to it (`catalog_fence`), so
that from then on the catalog itself refuses every commit of an earlier holder, however late it comes: also one of a
process that was stopped in the middle of it and resumed. The lease only decides who should write; the fence, who can.
The holder itself takes a higher token for each of its queries: what its last one left under way is refused too.

It is taken where nobody holds it, where it has expired, and where its holder was a process of this host that is gone.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import psutil
import psycopg

from headwater.errors import HeadwaterError, RetryableError, TerminalError
from headwater.settings import Settings
from headwater.streaming import catalog_fence
from headwater.streaming.lease_rows import LeaseRow, LeaseUnreachable, Wanted, connect, rows_of, unreachable

log = logging.getLogger(__name__)

RENEWALS = 5
"""So many renewals fit into a lease: four may fail before it expires."""
_TAKE = """
    UPDATE stream_leases
    SET token = nextval('stream_tokens'), held = true, host = %(host)s, pid = %(pid)s,
        process_started = %(started)s, taken_at = now(), expires_at = now() + make_interval(secs => %(seconds)s),
        beat_at = now(), state = 'starting', reason = ''
    WHERE dataset = %(dataset)s AND token = %(former)s AND (NOT held OR expires_at < now() OR %(gone)s)
    RETURNING token, wanted
"""
"""One statement: a process that is stopped while it takes the lease must not leave a transaction open."""
_NEXT = "SELECT nextval('stream_tokens')"
_ADVANCE = """
    UPDATE stream_leases SET token = %s, expires_at = now() + make_interval(secs => %s)
    WHERE dataset = %s AND token = ANY(%s) AND held RETURNING wanted
"""
_RENEW = """
    UPDATE stream_leases SET expires_at = now() + make_interval(secs => %s)
    WHERE dataset = %s AND token = ANY(%s) AND held RETURNING wanted
"""
_BEAT = """
    UPDATE stream_leases SET state = %s, reason = %s, report = %s, beat_at = now(), held = held AND %s
    WHERE dataset = %s AND token = ANY(%s)
"""


class AlreadyRunning(TerminalError):
    """Another process writes this stream."""


class FencedOut(TerminalError):
    """Another process has taken this stream over: this one may not write it any more."""


class Lease:
    """The lease of one stream, for one holder. `wanted` is what people want of the stream, by the last renewal."""

    def __init__(self, settings: Settings, dataset: str) -> None:
        self.token = 0
        self.wanted = Wanted.RUNNING
        self._settings, self._dataset = settings, dataset
        self._drawn: list[int] = []
        self._unfenced: set[int] = set()
        self._connection: psycopg.Connection | None = None
        self._turn = threading.Lock()
        self._ended = threading.Event()

    @property
    def _own(self) -> list[int]:
        """The tokens under which the row may be ours: the answer to a change from one to the next may be lost."""
        return [self.token, *self._drawn]

    @property
    def connection_name(self) -> str:
        """How the holder's connections to the catalog must be called: the fence knows its token by it."""
        return catalog_fence.connection_name(self.token)

    def acquire(self) -> None:
        """Take the lease and raise the fence; a lease that is held already is kept, under a new token.

        So a commit of this very process that is still under way, as of a query that failed without an answer, is
        refused like another's, and what the table says afterwards is final.
        Raises `AlreadyRunning` where another living process keeps it, `LeaseUnreachable` where Postgres is down,
        `FencedOut` where it was held and another has taken it over, `FenceBlocked`.
        """
        if self.token:
            self._advance()
            return
        deadline = time.monotonic() + self._settings.stream_handover_seconds
        while (former := self._take()) is not None:
            if time.monotonic() > deadline:
                raise AlreadyRunning(
                    f"another process writes the stream ({former.holder}, token {former.token})",
                    where=self._dataset,
                    remedy="`headwater stream status` shows it; stop it first",
                )
            time.sleep(0.2)
        self._ended = threading.Event()
        threading.Thread(target=self._keep, args=(self._ended,), name=f"lease-{self._dataset}", daemon=True).start()

    def _advance(self) -> None:
        """Go on under a new token. It is drawn first: where the answer is lost, the row is known to be ours still."""
        drawn = int(self._ask(_NEXT, ())[0][0])
        self._drawn.append(drawn)
        seconds = self._settings.stream_lease_seconds
        found = self._ask(_ADVANCE, (drawn, seconds, self._dataset, self._own))
        if not found:
            raise self.fenced_out()
        self._unfenced.add(self.token)
        self.token, self.wanted = drawn, Wanted(found[0][0])
        self._drawn = []
        self._raise_fence()

    def _take(self) -> LeaseRow | None:
        """Take the lease if it is to be had; else the row of the one who has it."""
        self._ask("INSERT INTO stream_leases (dataset) VALUES (%s) ON CONFLICT DO NOTHING", (self._dataset,))
        with self._turn:
            former = rows_of(self._connected(), [self._dataset])[self._dataset]
        process = psutil.Process()
        mine = {"host": socket.gethostname(), "pid": os.getpid(), "started": process.create_time()}
        seconds = self._settings.stream_lease_seconds
        asked = {**mine, "dataset": self._dataset, "former": former.token, "gone": former.gone, "seconds": seconds}
        taken = self._ask(_TAKE, asked)
        if not taken:
            return former
        self.token, self.wanted = int(taken[0][0]), Wanted(taken[0][1])
        self._drawn, self._unfenced = [], {former.token}
        if former.held:
            log.warning("%s: taken over from %s (token %d)", self._dataset, former.holder, former.token)
        try:
            self._raise_fence()
        except HeadwaterError:
            self.beat("stopped", "the fence could not be raised", {}, held=False)
            raise
        return None

    def _raise_fence(self) -> None:
        table = f"bronze.{self._dataset}"
        if not catalog_fence.raise_fence(self._settings, table, self.token, self._unfenced):
            raise self.fenced_out()
        self._unfenced.clear()

    def check(self) -> None:
        """Raise `FencedOut` where another has taken over, `LeaseUnreachable` where nobody can say."""
        if self.superseded():
            raise self.fenced_out()

    def superseded(self) -> bool:
        """Whether a newer token was given out. Raises `LeaseUnreachable`."""
        found = self._ask("SELECT token FROM stream_leases WHERE dataset = %s", (self._dataset,))
        return not found or found[0][0] not in self._own

    def beat(self, state: str, reason: str, report: Mapping[str, Any], *, held: bool = True) -> None:
        """Tell the world; with `held=False` for the last time: the lease is given back.

        Nothing is told where the lease was never taken. Raises `FencedOut`, `LeaseUnreachable`.
        """
        if not self.token:
            if not held:
                self.leave()
            return
        told = (state, reason, json.dumps(report, default=str), held, self._dataset, self._own)
        try:
            if not self._ask(_BEAT + " RETURNING 1", told):
                raise self.fenced_out()
        finally:
            if not held:
                self.leave()

    def leave(self) -> None:
        """Stop renewing, and hang up."""
        self._ended.set()
        self.token, self._drawn = 0, []
        with self._turn:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _keep(self, ended: threading.Event) -> None:
        """Renew until it ended or another has it. A Postgres that is away is asked again: it alone can say."""
        seconds = self._settings.stream_lease_seconds
        while not ended.wait(seconds / RENEWALS):
            own = self._own
            try:
                found = self._ask(_RENEW, (seconds, self._dataset, own))
            except LeaseUnreachable as error:
                log.warning("%s: the lease could not be renewed: %s", self._dataset, error)
                continue
            if ended.is_set():
                return
            if not found and own != self._own:
                continue  # a new token was taken at this very moment
            if not found:
                log.error("%s: fenced out: another process has taken the lease", self._dataset)
                return
            self.wanted = Wanted(found[0][0])

    def _ask(self, sql: str, values: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with self._turn:
            try:
                cursor = self._connected().execute(sql, values)
                return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError as error:
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                raise unreachable(self._settings, error) from error

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = connect(self._settings, f"headwater stream {self._dataset}")
        return self._connection

    def fenced_out(self) -> FencedOut:
        """The error for the holder that was; names who has taken over. Raises `LeaseUnreachable`."""
        with self._turn:
            found = rows_of(self._connected(), [self._dataset])[self._dataset]
        return FencedOut(
            f"fenced out: this process had token {self.token}, {found.holder} has taken over with token {found.token}",
            where=self._dataset,
            remedy="nothing to do: the other one goes on from the table; this process ends",
        )


def is_fenced(lease: Lease) -> bool | None:
    """Whether another has taken over a lease that was held; None where Postgres does not answer."""
    try:
        return bool(lease.token) and lease.superseded()
    except RetryableError:
        return None
