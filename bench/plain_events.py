"""A topic of plain events: 8 fields with a map and a UUID string, about 94 bytes.

The record that the stream's targets were set for; the sales of the demo have other columns (decimals instead of a map).
"""

from __future__ import annotations

import io
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import fastavro
from confluent_kafka import Producer

from bench.topics import TIMEOUT_SECONDS, Context
from headwater.contracts.avro import avro_schema
from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Column, Dataset
from headwater.contracts.registry import RegistryClient
from headwater.contracts.types import Map, Primitive
from headwater.errors import RetryableError
from headwater.kafka import client_config

DISTINCT = 250_000
"""So many are encoded, and sent again and again: encoding is another part's figure."""
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ENVELOPE_COLUMNS = 5


def plain_events(context: Context) -> tuple[Dataset, dict[str, object]]:
    """The stream of a topic with `context.rows` such events, and their schema, which is registered."""
    sales = load_dataset("transactions")
    columns = (
        *sales.columns[:ENVELOPE_COLUMNS],
        Column("user_id", Primitive.LONG, required=True),
        Column("amount", Primitive.DOUBLE),
        Column("attributes", Map(Primitive.STRING)),
    )
    topic = context.new_topic("events")
    dataset = replace(
        sales, name=f"bench_{uuid.uuid4().hex[:8]}", source_name=topic, columns=columns, row_rules=(), live=None
    )
    schema = dict(avro_schema(dataset))
    with RegistryClient() as registry:
        schema_id = registry.register(dataset.subject, schema)
    _send(topic, _values(schema, schema_id), context.rows)
    return dataset, schema


def _values(schema: dict[str, object], schema_id: int) -> list[bytes]:
    parsed = fastavro.parse_schema(dict(schema))
    header = b"\0" + schema_id.to_bytes(4, "big")
    values = []
    for number in range(DISTINCT):
        out = io.BytesIO(header)
        out.seek(len(header))
        fastavro.schemaless_writer(out, parsed, _event(number))
        values.append(out.getvalue())
    return values


def _event(number: int) -> dict[str, object]:
    return {
        "event_id": str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)),
        "event_type": "click",
        "event_timestamp": BEGIN + timedelta(seconds=number),
        "source_system": "web",
        "schema_version": 1,
        "user_id": number % 50_000,
        "amount": number % 1000 / 100,
        "attributes": {"page": f"p{number % 500}", "device": "mobile"},
    }


def _send(topic: str, values: list[bytes], rows: int) -> None:
    options = {"linger.ms": 20, "batch.size": 1_000_000, "compression.type": "lz4", "enable.idempotence": True}
    producer = Producer({**client_config(), **options, "queue.buffering.max.messages": 1_000_000})
    for number in range(rows):
        while True:
            try:
                producer.produce(topic, values[number % len(values)], str(number % 50_000))
                break
            except BufferError:
                producer.poll(0.1)
    if waiting := producer.flush(TIMEOUT_SECONDS):
        raise RetryableError(f"{waiting} records were not acknowledged", where=f"topic {topic}")
