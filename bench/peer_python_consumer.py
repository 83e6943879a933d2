"""The peer of the bronze stream: what a team writes first.

One Python process: confluent-kafka, fastavro, PyIceberg append. It decodes each record, keeps its position, appends a
batch as one Iceberg snapshot, and commits the consumer's offsets afterwards. It has neither quarantine nor schema ids
nor offsets in the snapshot; a crash between append and commit doubles a batch. Its catalog is SQLite in a temporary
folder, so it touches nothing of the platform's.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
from confluent_kafka import Consumer, Message, TopicPartition
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from bench.measure import Measurement, timed
from bench.topics import TIMEOUT_SECONDS, Context
from headwater.errors import RetryableError
from headwater.kafka import client_config
from headwater.sources import topics

BATCH_ROWS = 100_000
HEADER_BYTES = 5
MONEY = pa.decimal128(10, 2)
SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_type", pa.string()),
        ("event_timestamp", pa.timestamp("us", "UTC")),
        ("source_system", pa.string()),
        ("schema_version", pa.int32()),
        ("household_id", pa.int64()),
        ("store_id", pa.int64()),
        ("basket_id", pa.int64()),
        ("product_id", pa.int64()),
        ("quantity", pa.int64()),
        ("sales_value", MONEY),
        ("retail_disc", MONEY),
        ("coupon_disc", MONEY),
        ("coupon_match_disc", MONEY),
        ("week", pa.int32()),
        ("_kafka_topic", pa.string()),
        ("_kafka_partition", pa.int32()),
        ("_kafka_offset", pa.int64()),
    ]
)


def measure_peer(context: Context) -> list[Measurement]:
    """The whole topic into an Iceberg table; checked by its row count."""
    topic = context.transactions_topic
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
        table = _new_table(Path(folder))
        consumer = Consumer(
            client_config(
                group_id=f"{context.prefix}.peer",
                enable_auto_commit=False,
                queued_min_messages=1_000_000,
                fetch_queue_backoff_ms=10,
            )
        )
        try:
            # Assigned and not subscribed: joining a group takes three seconds that are no work.
            consumer.assign([TopicPartition(topic, number, 0) for number in topics.partitions(topic)])
            with timed() as timing:
                rows = _consume(consumer, table, fastavro.parse_schema(dict(context.schema.schema)), context.rows)
        finally:
            consumer.close()
        stored = table.scan().count()
        if stored != rows:
            raise RetryableError(f"the peer's table holds {stored:,} rows of {rows:,}", where=folder)
    return [
        Measurement(
            "peer: confluent-kafka, fastavro, PyIceberg",
            rows=rows,
            seconds=timing.seconds,
            cpu_seconds=timing.cpu_seconds,
            notes={"rows_per_append": BATCH_ROWS},
        )
    ]


def _new_table(folder: Path) -> Table:
    catalog = SqlCatalog("peer", uri=f"sqlite:///{folder}/catalog.db", warehouse=folder.as_uri())
    catalog.create_namespace("peer")
    return catalog.create_table("peer.transactions", SCHEMA)


def _consume(consumer: Consumer, table: Table, schema: Any, rows: int) -> int:
    done, waiting = 0, []
    while done + len(waiting) < rows:
        batch = consumer.consume(min(10_000, rows - done - len(waiting)), timeout=TIMEOUT_SECONDS)
        if not batch:
            raise RetryableError(f"only {done + len(waiting):,} of {rows:,} records came")
        waiting.extend(_row(message, schema) for message in batch)
        if len(waiting) >= BATCH_ROWS or done + len(waiting) >= rows:
            table.append(pa.Table.from_pylist(waiting, SCHEMA))
            consumer.commit(asynchronous=False)
            done, waiting = done + len(waiting), []
    return done


def _row(message: Message, schema: Any) -> dict[str, Any]:
    row = fastavro.schemaless_reader(io.BytesIO(message.value()[HEADER_BYTES:]), schema)
    row["_kafka_topic"] = message.topic()
    row["_kafka_partition"] = message.partition()
    row["_kafka_offset"] = message.offset()
    return row
