"""What happens to one request: read, counted, judged, written, acknowledged, and its answer kept where it has a key.

Every way out but the last raises, mostly a `Problem`, and then nothing was accepted; but where the broker acknowledged
a part of a batch before it went away, the problem says which events it has, and of which nobody knows. Who sends how
many events of what is on the audit trail before they go to the broker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi.concurrency import run_in_threadpool

from headwater.api.bodies import Sent, read_events
from headwater.api.idempotency import Answers, fingerprint
from headwater.api.judging import Judged
from headwater.api.keys import ApiKey, ApiKeys
from headwater.api.problems import Problem, fault_list
from headwater.api.producing import AcknowledgedProducer, Busy, NotAcknowledged, Place
from headwater.api.streams import EventStream, Written
from headwater.api.tables import api_database
from headwater.audit.entries import Entry, Outcome
from headwater.audit.writing import Auditor, AuditUnavailable
from headwater.contracts.model import Contracts, Kind
from headwater.database.pool import DatabaseUnavailable
from headwater.policy.model import Surface
from headwater.settings import Settings

log = logging.getLogger(__name__)

RETRY_SECONDS = 2
TOOL = "events"
MOST_REQUESTS = 64
"""Requests that are worked on at once: with bodies of 5 MiB, 320 MiB."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One request as it came. `idempotency_key`: empty where it has none."""

    stream: EventStream
    key: ApiKey
    body: bytes
    content_type: str
    partial: bool
    idempotency_key: str
    source: str = ""

    def entry(self, events: int) -> Entry:
        """What is put on record before so many of its events are sent on."""
        names = (self.stream.dataset.name,)
        return Entry(_who(self.key), Surface.API, TOOL, datasets=names, rows=events, source=self.source)


class Intake:
    """Takes requests, until `close`; the `auditor` is the caller's to close.

    Methods raise `Problem`, `DatabaseUnavailable`, `AuditUnavailable` and the registry's errors.
    """

    def __init__(self, settings: Settings, contracts: Contracts, auditor: Auditor) -> None:
        self._settings = settings
        self._streams = {d.name: EventStream(settings, d) for d in contracts.of_kind(Kind.STREAM)}
        self._database = api_database(settings)
        self._keys = ApiKeys(self._database)
        self._answers = Answers(self._database, settings.api_ack_seconds)
        self._producer = AcknowledgedProducer(settings)
        self._auditor = auditor
        self._working = 0

    def close(self) -> None:
        """Wait for what is on its way to the broker, then let go of everything."""
        self._producer.close()
        self._database.close()

    @property
    def stalled(self) -> bool:
        """Whether the broker is too slow for more events."""
        return self._producer.stalled_seconds > self._settings.api_slow_seconds

    def admitted(self, dataset: str, secret: str, source: str = "") -> tuple[EventStream, ApiKey]:
        """The stream and the key, where this key may send to it. Raises `Problem` (401 and 403, on record, and 404)."""
        key = self._keys.known(secret)
        if key is None:
            self._auditor.refused(Surface.API, source)
            raise Problem(HTTPStatus.UNAUTHORIZED, "no-such-key", "send a valid key: `Authorization: Bearer hw_…`")
        stream = self._streams.get(dataset)
        if stream is None:
            raise Problem(HTTPStatus.NOT_FOUND, "no-such-dataset", "there is no stream dataset of this name")
        if not key.may_send(dataset):
            denied = Entry(_who(key), Surface.API, TOOL, datasets=(dataset,), source=source)
            self._auditor.record(replace(denied, outcome=Outcome.DENIED, reason="dataset"))
            raise Problem(HTTPStatus.FORBIDDEN, "not-for-this-key", f"this key may not send {dataset}")
        return stream, key

    async def accept(self, request: Delivered) -> tuple[Mapping[str, Any], bool]:
        """The answer for a request whose events the broker has, and whether it is one that was given before."""
        if self._working >= MOST_REQUESTS:
            raise _busy("too many requests are being worked on")
        self._working += 1
        try:
            return await self._once(request) if request.idempotency_key else (await self._accept(request), False)
        finally:
            self._working -= 1

    async def _once(self, request: Delivered) -> tuple[Mapping[str, Any], bool]:
        """As `accept`, for a request with an idempotency key."""
        key, name = request.key, request.idempotency_key
        sha256 = fingerprint(request.stream.dataset.name, request.partial, request.content_type, request.body)
        before = await run_in_threadpool(self._answers.claim, key, name, sha256)
        if before is not None:
            return before, True
        try:
            answer = await self._accept(request)
        except Exception:
            await self._tidied(self._answers.release, key, name)
            raise
        await self._tidied(self._answers.keep, key, name, answer)
        return answer, False

    async def _accept(self, request: Delivered) -> dict[str, Any]:
        judged, written = await run_in_threadpool(self._judged, request)
        if judged.faults and (not request.partial or not judged.indexes):
            what = "the contract refuses these events; nothing was accepted"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "events-refused", what, faults=judged.faults)
        try:
            places = await asyncio.wrap_future(await run_in_threadpool(self._send, request, written, judged))
        except AuditUnavailable:
            await self._tidied(self._keys.give_back, request.key, len(judged.indexes))
            raise
        except (Busy, NotAcknowledged) as error:
            there = error.acknowledged if isinstance(error, NotAcknowledged) else {}
            await self._tidied(self._keys.give_back, request.key, len(judged.indexes) - len(there))
            failed = replace(request.entry(len(there)), outcome=Outcome.FAILED, reason=type(error).__name__)
            await self._tidied(self._auditor.record, failed)
            raise _not_taken(error, judged) from error
        return _answer(request.stream, judged, places)

    def _judged(self, request: Delivered) -> tuple[Judged, Written]:
        if self.stalled:
            raise _busy("the broker is slow to acknowledge")  # before any work is done for it
        written = request.stream.written()
        sent = read_events(request.body, request.content_type, written.by_id, self._settings.api_max_events)
        self._take(request.key, sent)
        judged = request.stream.judge.judge(sent.events, written.version)
        faults = sorted([*sent.faults, *judged.faults], key=lambda fault: fault.index)
        return Judged(judged.rows, judged.indexes, faults), written

    def _take(self, key: ApiKey, sent: Sent) -> None:
        """Count the events that were sent, the wrong ones too: they cost as much."""
        quota = f"{key.events_per_minute} events per minute"
        if sent.count > key.events_per_minute:
            what = f"this key has {quota}: send fewer at once"
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "beyond-quota", what)
        if not self._keys.take(key, sent.count):
            wait = 60 - datetime.now(UTC).second
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "quota", f"this key's {quota} are used up", retry_after=wait)

    def _send(self, request: Delivered, written: Written, judged: Judged) -> Future[list[Place]]:
        """Put the request on record, one entry however many events it has, and then its events on their way."""
        stream, rows = request.stream, judged.rows
        encoded = written.encode(rows)
        self._auditor.record(request.entry(len(judged.indexes)))
        return self._producer.send(stream.dataset.topic, stream.keys(rows), encoded)

    @staticmethod
    async def _tidied(change: Any, *arguments: Any) -> None:
        """Note down what has been decided. Where Postgres fails now, the answer stands, for the events are decided."""
        try:
            await run_in_threadpool(change, *arguments)
        except (DatabaseUnavailable, AuditUnavailable) as error:
            log.error("%s was not noted down: %s", change.__name__, error)


def _who(key: ApiKey) -> str:
    """Whose request it is, for the audit trail: a key that sends is nobody's, and its name is free text."""
    return f"key:{key.key_id}"


def _busy(detail: str) -> Problem:
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "busy", detail, retry_after=RETRY_SECONDS)


def _not_taken(error: Busy | NotAcknowledged, judged: Judged) -> Problem:
    if isinstance(error, Busy):
        return _busy(error.what)
    facts = {
        "acknowledged": [_at(judged.indexes[n], place) for n, place in sorted(error.acknowledged.items())],
        "unknown": [index for n, index in enumerate(judged.indexes) if n not in error.acknowledged],
    }
    what = f"the broker did not acknowledge every event ({error.what}): send the request again"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return Problem(status, "not-acknowledged", what, faults=judged.faults, facts=facts, retry_after=RETRY_SECONDS)


def _answer(stream: EventStream, judged: Judged, places: Sequence[Place]) -> dict[str, Any]:
    events = [_at(index, place) for index, place in zip(judged.indexes, places, strict=True)]
    answer = {"dataset": stream.dataset.name, "topic": stream.dataset.topic, "accepted": len(events), "events": events}
    return answer | (fault_list(judged.faults) if judged.faults else {})


def _at(index: int, place: Place) -> dict[str, int]:
    return {"index": index, "partition": place.partition, "offset": place.offset}
