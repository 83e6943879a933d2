"""Records to Kafka, each with the broker's word for it: an idempotent producer, acks=all, and a bounded queue.

What is not acknowledged in time fails, and is never answered as accepted. While the queue is full or an earlier record
waits too long, further ones are refused at once, so that a slow broker is felt by the senders and not by this memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headwater.errors import RetryableError
from headwater.settings import Settings
from headwater.sources.replay import producer_config

POLL_SECONDS = 0.1
LINGER_MS = 5
LONGEST_MESSAGE = 16 * 1024 * 1024  # as `contract apply` has it on topics
QUEUE_BYTES = 64 * 1024 * 1024
FLUSH_SECONDS = 10.0


class Busy(RetryableError):
    """The queue is full, or the broker slow: nothing of this was sent."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies."""

    partition: int
    offset: int


class NotAcknowledged(RetryableError):
    """The broker did not acknowledge all of a batch; `acknowledged` are those that it did, by place in the batch."""

    def __init__(self, what: str, acknowledged: dict[int, Place]) -> None:
        super().__init__(what)
        self.acknowledged = acknowledged


class Delivery:
    """One batch on its way; `future` has the place of each record, or `NotAcknowledged`."""

    def __init__(self, size: int, length: int) -> None:
        self.future: Future[list[Place]] = Future()
        self.future.set_running_or_notify_cancel()  # so that nobody can cancel it: the records are on their way
        self.began = time.monotonic()
        self.size, self.bytes = size, length
        self._places: dict[int, Place] = {}
        self._failure = ""
        self._told = 0

    def told(self, place: int, error: KafkaError | None, message: Message | None) -> bool:
        """Take one record's report; whether it was the last."""
        self._told += 1
        partition, offset = (message.partition(), message.offset()) if message else (None, None)
        if error is not None or partition is None or offset is None:
            self._failure = error.str() if error is not None else "a report without a place"
        else:
            self._places[place] = Place(partition, offset)
        return self._told == self.size

    def close(self) -> None:
        """Hand the result out."""
        if len(self._places) == self.size:
            self.future.set_result([self._places[place] for place in range(self.size)])
        else:
            self.future.set_exception(NotAcknowledged(self._failure, self._places))


class AcknowledgedProducer:
    """One producer for all topics. `send` may be called from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._guard = threading.Lock()
        self._flying: dict[Delivery, None] = {}  # in the order of `began`
        self._events = self._bytes = 0
        self._stop = threading.Event()
        self._spoiled = False  # an idempotent producer that has met a fatal error sends nothing more
        self._producer = Producer(_config(settings))
        self._poller = threading.Thread(target=self._poll, name="headwater-api-poll", daemon=True)
        self._poller.start()

    @property
    def stalled_seconds(self) -> float:
        """For how long the oldest record that is not acknowledged has been waiting."""
        oldest = next(iter(self._flying.copy()), None)
        return time.monotonic() - oldest.began if oldest else 0.0

    def send(self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes]) -> Future[list[Place]]:
        """Queue the records, and give what will hold their places. Raises `Busy` where nothing was queued."""
        delivery = Delivery(len(values), sum(map(len, values)))
        self._admit(delivery)
        for place, (key, value) in enumerate(zip(keys, values, strict=True)):
            try:
                self._producer.produce(topic, value, key, on_delivery=partial(self._delivered, delivery, place))
            except (BufferError, KafkaException) as error:
                self._delivered(delivery, place, _reason(error), None)
        return delivery.future

    def close(self) -> None:
        """Wait for what is on its way, then end."""
        self._producer.flush(FLUSH_SECONDS)
        self._stop.set()
        self._poller.join()

    def _admit(self, delivery: Delivery) -> None:
        settings = self._settings
        with self._guard:
            if self.stalled_seconds > settings.api_slow_seconds:
                raise Busy("the broker is slow to acknowledge", where=settings.kafka_bootstrap_servers)
            full = self._events + delivery.size > settings.api_queue_events
            if self._flying and (full or self._bytes + delivery.bytes > QUEUE_BYTES):
                raise Busy("too many events wait for the broker", where=settings.kafka_bootstrap_servers)
            if self._spoiled and not self._flying:
                self._producer, self._spoiled = Producer(_config(settings)), False
            self._flying[delivery] = None
            self._events += delivery.size
            self._bytes += delivery.bytes

    def _delivered(self, delivery: Delivery, place: int, error: KafkaError | None, message: Message | None) -> None:
        with self._guard:
            self._spoiled |= error is not None and (error.fatal() or error.code() == KafkaError._FATAL)
            if not delivery.told(place, error, message):
                return
            del self._flying[delivery]
            self._events -= delivery.size
            self._bytes -= delivery.bytes
        delivery.close()

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(POLL_SECONDS)


def _reason(error: BufferError | KafkaException) -> KafkaError:
    """Why a record could not be queued."""
    reason = error.args[0] if isinstance(error, KafkaException) else None
    return reason if isinstance(reason, KafkaError) else KafkaError(KafkaError._QUEUE_FULL, str(error))


def _config(settings: Settings) -> dict[str, Any]:
    """The replay's producer, made for answers: short waits, a report for every record, and none after the deadline."""
    return producer_config(settings) | {
        "client.id": "headwater-api",
        "delivery.report.only.error": False,
        "linger.ms": LINGER_MS,
        "message.timeout.ms": int(settings.api_ack_seconds * 1000),
        "message.max.bytes": LONGEST_MESSAGE,
        # Counted by `_admit`: these only lie beyond it, since one request is taken whole.
        "queue.buffering.max.messages": settings.api_queue_events + settings.api_max_events,
        "queue.buffering.max.kbytes": 2 * QUEUE_BYTES // 1024,
        "reconnect.backoff.max.ms": 1000,
    }
