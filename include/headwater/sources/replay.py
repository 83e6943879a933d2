"""Replays a file of the package as events of a stream: Confluent-framed Avro, keyed by household.

The producer is idempotent (acks=all) and keeps the order within a household. A replay is resumable at any point, also
after kill -9: the ids of the events that the topic holds are read back first (two seconds for all 1.47 million), and
what is there is not sent again. A replay whose selection is wholly there sends nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import KafkaError, Message, Producer

from headwater.errors import RetryableError
from headwater.kafka import client_config
from headwater.settings import Settings
from headwater.sources import topics
from headwater.sources.avro_encoder import AvroEncoder
from headwater.sources.events import EventSource, event_source
from headwater.sources.pace import FullSpeed, Pace
from headwater.sources.subjects import RegisteredSchema, newest_schema

CHUNK_ROWS = 20_000  # measured: 770,000 events/s encoded per core with 20,000 rows, 570,000 with 5,000
TICK_SECONDS = 0.02
FLUSH_SECONDS = 60.0

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of a replay: those in [start, end), and the first `limit` of these; all where nothing is said."""

    start: date | None = None
    end: date | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay did. `selected` = `already_there` + `sent`, all acknowledged."""

    dataset: str
    topic: str
    schema_id: int
    selected: int
    already_there: int
    sent: int
    seconds: float
    cpu_seconds: float

    @property
    def records_per_second(self) -> float:
        """Encoded, sent and acknowledged, from the first row to the last acknowledgement."""
        return self.sent / self.seconds if self.sent else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The result for `--json`."""
        return asdict(self) | {"records_per_second": round(self.records_per_second)}


class Replay:
    """One replay, planned on construction: reads the source, the newest schema, and what the topic holds."""

    def __init__(
        self,
        dataset: str,
        selection: Selection | None = None,
        *,
        restart: bool = False,
        topic: str | None = None,
        schema: RegisteredSchema | None = None,
    ) -> None:
        selection = selection or Selection()
        self._source: EventSource = event_source(dataset)
        self.dataset, self.topic = dataset, topic or self._source.dataset.topic
        self.schema = schema or newest_schema(self._source.dataset.subject)
        rows = self._source.rows(selection.start, selection.end, selection.limit)
        self.selected: int = rows.num_rows
        topics.partitions(self.topic)
        self._rows = rows if restart else _missing(rows, self._source, topics.event_ids(self.topic))

    @property
    def already_there(self) -> int:
        """Rows of the selection whose event the topic holds."""
        return self.selected - self.remaining

    @property
    def remaining(self) -> int:
        """Rows to send."""
        rows: int = self._rows.num_rows
        return rows

    def run(self, pace: Pace | None = None, progress: Progress | None = None) -> ReplayResult:
        """Send the remaining rows; `progress` is told how many are acknowledged.

        Raises `RetryableError` where a record was not acknowledged; another run goes on behind the last that was.
        """
        started, cpu_started = time.monotonic(), time.process_time()
        sender = Sender(self.topic, progress)
        times = self._rows[self._source.time_column].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
        try:
            self._send(sender, (pace or FullSpeed()).plan(times))
        finally:
            sender.finish()
        return ReplayResult(
            dataset=self.dataset,
            topic=self.topic,
            schema_id=self.schema.id,
            selected=self.selected,
            already_there=self.already_there,
            sent=sender.acknowledged,
            seconds=round(time.monotonic() - started, 3),
            cpu_seconds=round(time.process_time() - cpu_started, 3),
        )

    def _send(self, sender: Sender, due: Callable[[float], int]) -> None:
        encoder = AvroEncoder(self.schema.schema, self.schema.id)
        started, sent = time.monotonic(), 0
        while sent < self._rows.num_rows:
            to = min(due(time.monotonic() - started), sent + CHUNK_ROWS, self._rows.num_rows)
            if to > sent:
                rows = self._rows.slice(sent, to - sent)
                events = self._source.events(rows, self.schema.version).combine_chunks().to_batches()[0]
                sender.send(self._source.keys(events), encoder.encode(events))
                sent = to
                sender.report(0.0)
            else:
                sender.report(TICK_SECONDS)


class Sender:
    """An idempotent producer for one topic that counts what was acknowledged and remembers the first failure."""

    def __init__(self, topic: str, progress: Progress | None = None) -> None:
        self._topic = topic
        self._progress = progress
        self._failure: KafkaError | None = None
        self._sent = self._failed = 0
        self._producer = Producer(producer_config() | {"on_delivery": self._delivered})

    @property
    def acknowledged(self) -> int:
        """Records Kafka has acknowledged."""
        return self._sent - self._failed - len(self._producer)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:  # with delivery.report.only.error every call is one
            self._failed += 1
            self._failure = self._failure or error

    def send(self, keys: list[bytes], values: list[bytes]) -> None:
        """Queue the records; waits while the queue is full."""
        produce, topic = self._producer.produce, self._topic
        for key, value in zip(keys, values, strict=True):
            try:
                produce(topic, value, key)
            except BufferError:
                self._wait_for_room(key, value)
        self._sent += len(values)

    def _wait_for_room(self, key: bytes, value: bytes) -> None:
        while True:
            self._producer.poll(TICK_SECONDS)
            try:
                self._producer.produce(self._topic, value, key)
            except BufferError:
                continue
            return

    def report(self, seconds: float) -> None:
        """Serve acknowledgements, for so long; tell the progress. Raises `RetryableError` on a failure."""
        self._producer.poll(seconds)
        if self._progress:
            self._progress(self.acknowledged)
        if self._failure:
            raise RetryableError(
                f"Kafka did not acknowledge {self._failed} record(s): {self._failure.str()}",
                where=f"topic {self._topic}",
                remedy="see `headwater status`; the same command goes on where this one stopped",
            )

    def finish(self) -> None:
        """Wait for the last acknowledgement. Raises `RetryableError` where one did not come."""
        waiting = self._producer.flush(FLUSH_SECONDS)
        self.report(0.0)
        if waiting:
            raise RetryableError(
                f"{waiting} record(s) were not acknowledged within {FLUSH_SECONDS:.0f} s",
                where=f"topic {self._topic}",
                remedy="see `headwater status`; the same command goes on where this one stopped",
            )


def producer_config(settings: Settings | None = None) -> dict[str, Any]:
    """Settings of an idempotent producer; Java's partitioner, so that producers agree on a household's place."""
    return client_config(
        settings,
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        partitioner="murmur2_random",
        linger_ms=50,
        batch_size=1_000_000,
        batch_num_messages=100_000,
        queue_buffering_max_messages=500_000,
        delivery_report_only_error=True,
    )


def _missing(rows: pa.Table, source: EventSource, there: set[str]) -> pa.Table:
    """Rows whose event is not there yet."""
    if not there or not rows.num_rows:
        return rows
    ids = source.event_ids(rows)
    return rows.filter(pc.invert(pc.is_in(ids, value_set=pa.array(there, pa.string()))))
