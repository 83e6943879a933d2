"""Producing Avro end to end, and consuming without decoding."""

from __future__ import annotations

import io

import fastavro
import pyarrow as pa
from confluent_kafka import Consumer, TopicPartition

from bench.measure import Measurement, timed
from bench.topics import TIMEOUT_SECONDS, Context, produce
from headwater.errors import RetryableError
from headwater.kafka import client_config
from headwater.sources import topics
from headwater.sources.avro_encoder import AvroEncoder
from headwater.sources.events import event_source

PRODUCE_TARGET = 150_000
CONSUME_TARGET = 300_000
ENCODED_ROWS = 200_000
FASTAVRO_ROWS = 50_000
CHUNK_ROWS = 20_000


def measure_encode(context: Context) -> list[Measurement]:
    """Rows to framed Avro on one core, without Kafka: by columns as the replay does it, and by fastavro."""
    return [_encode_by_columns(context), _encode_by_fastavro(context)]


def _encode_by_columns(context: Context) -> Measurement:
    source = event_source("transactions")
    rows = source.rows(limit=min(context.rows, ENCODED_ROWS))
    encoder = AvroEncoder(context.schema.schema, context.schema.id)
    encoder.encode(source.events(rows.slice(0, 10), 1).combine_chunks().to_batches()[0])  # imports, first calls
    with timed() as timing:
        for at in range(0, rows.num_rows, CHUNK_ROWS):
            events = source.events(rows.slice(at, CHUNK_ROWS), 1).combine_chunks().to_batches()[0]
            encoder.encode(events)
    return Measurement("encode Avro, by columns", rows.num_rows, timing.seconds, timing.cpu_seconds)


def _encode_by_fastavro(context: Context) -> Measurement:
    source = event_source("transactions")
    rows = source.rows(limit=min(context.rows, FASTAVRO_ROWS))
    events = source.events(rows, 1)
    at = events.schema.get_field_index("event_timestamp")
    zoned = events.set_column(at, "event_timestamp", events["event_timestamp"].cast(pa.timestamp("us", "UTC")))
    dicts = zoned.to_pylist()
    schema = fastavro.parse_schema(dict(context.schema.schema))
    with timed() as timing:
        for row in dicts:
            fastavro.schemaless_writer(io.BytesIO(), schema, row)
    return Measurement("encode Avro, fastavro from dicts (peer)", len(dicts), timing.seconds, timing.cpu_seconds)


def measure_produce(context: Context) -> list[Measurement]:
    """Rows in memory to acknowledged records: envelope, Avro, idempotent producer, acks=all, lz4."""
    results = produce(context, context.new_topic("produce"))
    return [
        Measurement(
            "produce Avro, end to end",
            rows=sum(r.sent for r in results),
            seconds=sum(r.seconds for r in results),
            cpu_seconds=sum(r.cpu_seconds for r in results),
            at_least=PRODUCE_TARGET,
        )
    ]


def measure_consume(context: Context) -> list[Measurement]:
    """Every record of the topic to a Python consumer that counts bytes and decodes nothing."""
    topic = context.transactions_topic
    consumer = Consumer(
        client_config(
            group_id=context.prefix,
            enable_auto_commit=False,
            queued_min_messages=1_000_000,
            fetch_queue_backoff_ms=10,
        )
    )
    count = size = 0
    try:
        with timed() as timing:
            consumer.assign([TopicPartition(topic, number, 0) for number in topics.partitions(topic)])
            while count < context.rows:
                batch = consumer.consume(min(10_000, context.rows - count), timeout=TIMEOUT_SECONDS)
                if not batch:
                    raise RetryableError(f"only {count:,} of {context.rows:,} records came", where=f"topic {topic}")
                size += sum(len(message.value()) for message in batch)
                count += len(batch)
    finally:
        consumer.close()
    return [
        Measurement(
            "consume, not decoded",
            rows=count,
            seconds=timing.seconds,
            cpu_seconds=timing.cpu_seconds,
            at_least=CONSUME_TARGET,
            notes={"bytes_per_record": round(size / count, 1)},
        )
    ]
