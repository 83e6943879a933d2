"""What the connector tells of its snapshots: a topic of small Avro records, sent after the rows they are about."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from headwater.cdc.connector import Capture
from headwater.contracts.registry import RegistryClient
from headwater.errors import RetryableError
from headwater.kafka import client_config
from headwater.settings import Settings
from headwater.streaming.writers import SubjectSchemas

TIMEOUT_SECONDS = 10.0
HEADER_BYTES = 5
TABLE_READ = "TABLE_SCAN_COMPLETED"


@dataclass(frozen=True, slots=True)
class Notification:
    """One step of a snapshot: `about` is "Initial Snapshot" or "Incremental Snapshot", `step` STARTED and so on."""

    offset: int
    about: str
    step: str
    table: str
    facts: dict[str, str]
    at: datetime

    @property
    def rows(self) -> int | None:
        """Rows of the table, where it has been read whole."""
        return int(self.facts["total_rows_scanned"]) if self.step == TABLE_READ else None

    @property
    def failed(self) -> bool:
        """Whether the table could not be read."""
        return self.step == TABLE_READ and self.facts.get("status", "SUCCEEDED") not in ("SUCCEEDED", "EMPTY")


class Notifications:
    """Reads the notifications of one connector; a context manager. Raises `RetryableError` where Kafka is away."""

    def __init__(self, settings: Settings, capture: Capture) -> None:
        self._place = TopicPartition(capture.notifications, 0)
        config = client_config(settings, group_id="headwater-cdc", enable_auto_commit=False, log_level=0)
        self._consumer = Consumer({**config, "auto.offset.reset": "earliest", "enable.partition.eof": True})
        self._registry = RegistryClient(settings)
        self._schemas = SubjectSchemas(self._registry, f"{capture.notifications}-value")
        self._known: dict[int, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()
        self._registry.close()

    def end(self) -> int:
        """The offset of the next notification; 0 where there was none yet."""
        try:
            return int(self._consumer.get_watermark_offsets(self._place, timeout=TIMEOUT_SECONDS)[1])
        except KafkaException as error:
            if error.args[0].code() in _ABSENT:
                return 0
            raise _unavailable(error) from error

    def read(self, start: int, stop: int | None = None, seconds: float = TIMEOUT_SECONDS) -> Iterator[Notification]:
        """Notifications from an offset on: up to `stop`, or as they come, until nothing came for so many seconds."""
        if stop is not None and start >= stop:
            return
        self._consumer.assign([TopicPartition(self._place.topic, 0, start)])
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            message = self._consumer.poll(min(1.0, seconds))
            if message is None:
                continue
            if (error := message.error()) is not None:
                if error.code() not in (KafkaError._PARTITION_EOF, *_ABSENT):
                    raise _unavailable(KafkaException(error))
                continue
            offset = message.offset() or 0
            yield self._decoded(offset, message.value() or b"")
            deadline = time.monotonic() + seconds
            if stop is not None and offset + 1 >= stop:
                return

    def _decoded(self, offset: int, value: bytes) -> Notification:
        schema_id = int.from_bytes(value[1:HEADER_BYTES], "big")
        if schema_id not in self._known:
            self._known = self._schemas.refresh()
        found: Any = fastavro.schemaless_reader(io.BytesIO(value[HEADER_BYTES:]), self._known[schema_id], None)
        facts = {str(key): str(text) for key, text in (found.get("additional_data") or {}).items()}
        table = facts.get("scanned_collection") or facts.get("current_collection_in_progress") or ""
        at = datetime.fromtimestamp(found["timestamp"] / 1000, UTC)
        return Notification(offset, found["aggregate_type"], found["type"], table, facts, at)


_ABSENT = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)


def _unavailable(error: KafkaException) -> RetryableError:
    fault = error.args[0]
    return RetryableError(
        f"Kafka does not answer: {fault.str()}", where="notifications", remedy="`headwater up kafka`, then try again"
    )
