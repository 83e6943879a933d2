"""The Spark query of one stream: from these offsets on, into `write`, with a checkpoint that is never read again."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, SparkSession

from headwater.contracts.model import Dataset
from headwater.settings import Settings
from headwater.streaming.broker import spark_kafka_options
from headwater.streaming.heartbeat import streams_dir
from headwater.streaming.ledger import Offsets, to_json

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

ENOUGH_OFFSETS = 500_000
"""A batch of so many takes longer than the trigger's interval, so that smaller ones follow each other at once."""


def open_query(
    spark: SparkSession,
    settings: Settings,
    dataset: Dataset,
    offsets: Offsets,
    checkpoint: Path,
    write: Callable[[DataFrame, int], None],
    *,
    once: bool,
    failures: int = 0,
) -> StreamingQuery:
    """Start reading the topic from these offsets; `once` ends where the topic ends now.

    `failures`: how often it has failed since the last batch.
    """
    options = spark_kafka_options(settings) | {
        "subscribe": dataset.topic,
        "startingOffsets": f'{{"{dataset.topic}":{to_json(offsets)}}}',
        "failOnDataLoss": "true",
        "includeHeaders": "true",
        "maxOffsetsPerTrigger": str(largest_batch(settings.stream_max_offsets_per_trigger, failures)),
        # Fewer, larger answers from the broker.
        "kafka.max.poll.records": "10000",
        "kafka.max.partition.fetch.bytes": str(4 * 1024 * 1024),
    }
    records = spark.readStream.format("kafka").options(**options).load()
    writer = records.writeStream.foreachBatch(write).queryName(dataset.name)
    writer = writer.option("checkpointLocation", f"file://{checkpoint}")
    if once:
        return writer.trigger(availableNow=True).start()
    return writer.trigger(processingTime=settings.stream_trigger_interval).start()


def largest_batch(usual: int, failures: int) -> int:
    """Offsets of a batch: half as many after each failure, down to what costs no throughput.

    Where something fails every half minute, a batch that takes longer would never end, and the next would be longer.
    """
    return max(min(usual, ENOUGH_OFFSETS), usual >> failures)


def fresh_checkpoint(settings: Settings, dataset: str) -> Path:
    """An empty folder; those of earlier starts are removed. It lies on the driver's own disk."""
    parent = streams_dir(settings) / "checkpoints" / dataset
    shutil.rmtree(parent, ignore_errors=True)
    checkpoint = parent / uuid.uuid4().hex
    checkpoint.mkdir(parents=True)
    return checkpoint
