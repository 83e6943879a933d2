"""Records that are broken on purpose, each in a known way, for the demo and the tests of the quarantine.

Each record is the same bytes every time (written with the first version of the schema), so the topic itself shows
which are there, and a second demo adds none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import pyarrow as pa
from confluent_kafka import KafkaError, Message, Producer

from headwater.errors import RetryableError
from headwater.sources import topics
from headwater.sources.avro_encoder import AvroEncoder, confluent_header
from headwater.sources.events import EventSource, event_source
from headwater.sources.replay import FLUSH_SECONDS, producer_config
from headwater.sources.subjects import RegisteredSchema, first_schema

DATASET = "transactions"
UNKNOWN_SCHEMA_ID = 999_999_999
GARBAGE_BYTES = 1024 * 1024
FIRST_BROKEN_BASKET = 99_000_000_001  # far above the real ones, which end at 41,481,282,915


class Outcome(StrEnum):
    """What must come of a broken record."""

    UNREADABLE = "unreadable"  # a row of bronze with `_error` and the bytes
    REFUSED = "refused"  # readable; kept out of silver, and listed with the rule it broke
    STORED = "stored"  # unharmed: silver and gold do not change


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """One broken record, with the fault in words and what must come of it."""

    name: str
    fault: str
    outcome: Outcome
    key: bytes | None
    value: bytes


def broken_records(schema: RegisteredSchema) -> list[BrokenRecord]:
    """All broken records of the transactions topic, in a fixed order."""
    source = event_source(DATASET)
    good = _sale(source, schema)
    key = source.keys(source.rows(limit=1))[0]
    header = confluent_header(schema.id)
    # Ten bytes of 0xFF are no Avro length. The rest repeats, so that it passes a broker's size limit compressed.
    garbage = header + b"\xff" * 10 + bytes(range(256)) * (GARBAGE_BYTES // 256)
    negative = _sale(source, schema, basket_id=FIRST_BROKEN_BASKET, quantity=-1)
    future = datetime(2099, 12, 31, 12)
    late = _sale(source, schema, basket_id=FIRST_BROKEN_BASKET + 1, transaction_timestamp=future)
    unreadable, refused = Outcome.UNREADABLE, Outcome.REFUSED
    return [
        BrokenRecord("wrong-magic-byte", "the first byte is 1, not 0", unreadable, key, b"\x01" + good[1:]),
        BrokenRecord("truncated", "the Avro body ends half-way", unreadable, key, good[: len(good) // 2]),
        BrokenRecord(
            "unknown-schema-id",
            f"no schema has the id {UNKNOWN_SCHEMA_ID}",
            unreadable,
            key,
            confluent_header(UNKNOWN_SCHEMA_ID) + good[len(header) :],
        ),
        BrokenRecord("empty-value", "the value has no bytes", unreadable, key, b""),
        BrokenRecord("garbage", "1 MiB that is not Avro", unreadable, key, garbage[:GARBAGE_BYTES]),
        BrokenRecord("negative-quantity", "a sale of -1 pieces", refused, key, negative),
        BrokenRecord("future-date", "a sale on 2099-12-31", refused, key, late),
        BrokenRecord("null-key", "a repeat of the first sale without a message key", Outcome.STORED, None, good),
    ]


def _sale(source: EventSource, schema: RegisteredSchema, **changed: int | datetime) -> bytes:
    """The first sale of the file as a framed event, with some columns changed."""
    row = source.rows(limit=1)
    for name, value in changed.items():
        at = row.schema.get_field_index(name)
        row = row.set_column(at, name, pa.array([value], row.schema.field(at).type))
    events = source.events(row, schema.version).combine_chunks().to_batches()[0]
    return AvroEncoder(schema.schema, schema.id).encode(events)[0]


@dataclass(frozen=True, slots=True)
class Sent:
    """A broken record and whether this call sent it (or it was in the topic)."""

    record: BrokenRecord
    sent: bool


def send_broken(topic: str | None = None, schema: RegisteredSchema | None = None) -> list[Sent]:
    """Send those broken records that the topic (the contract's, unless told) does not hold yet.

    Raises `RetryableError` where Kafka did not acknowledge one; another call sends what is missing.
    """
    dataset = event_source(DATASET).dataset
    topic = topic or dataset.topic
    wanted = broken_records(schema or first_schema(dataset.subject))
    there = _present(topic, wanted)
    missing = [record for record in wanted if record.name not in there]
    failures: list[KafkaError] = []
    producer = Producer(producer_config() | {"message.max.bytes": 4 * GARBAGE_BYTES, "on_delivery": _to(failures)})
    for record in missing:
        producer.produce(topic, record.value, record.key)
    unacknowledged = producer.flush(FLUSH_SECONDS)
    if failures or unacknowledged:
        reason = failures[0].str() if failures else f"no answer within {FLUSH_SECONDS:.0f} s"
        raise RetryableError(
            f"Kafka did not acknowledge {len(failures) + unacknowledged} record(s): {reason}", where=f"topic {topic}"
        )
    return [Sent(record, record.name not in there) for record in wanted]


def _to(failures: list[KafkaError]) -> Callable[[KafkaError | None, Message], None]:
    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error)

    return delivered


def _present(topic: str, wanted: list[BrokenRecord]) -> set[str]:
    """Names of the broken records the topic holds: the same key and the same bytes."""
    by_value = {record.value: record for record in wanted}
    found: set[str] = set()
    for message in topics.records(topic):
        record = by_value.get(message.value() or b"")
        if record and message.key() == record.key:
            found.add(record.name)
    return found
