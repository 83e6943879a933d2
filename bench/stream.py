"""What the bronze stream costs: Kafka to nowhere (raw, decoded), Kafka to bronze (cold, warm), in one JVM and one run.

`python -m bench.stream [--rows N]` on a running stack (`headwater up`). The topic is filled with the real transactions,
repeated until there are N. Prints one JSON object; `bench.run` puts it beside the rest. CPU seconds are those of this
process and its children (the JVM), without the broker.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import psutil
import pyarrow as pa
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.avro.functions import from_avro

from headwater.contracts.avro import avro_schema
from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Dataset
from headwater.contracts.registry import RegistryClient
from headwater.kafka import client_config
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings, get_settings
from headwater.sources.avro_encoder import AvroEncoder
from headwater.sources.events import event_source
from headwater.streaming.broker import spark_kafka_options
from headwater.streaming.runner import StreamRunner
from headwater.streaming.session import stream_session

PARTITIONS = 4
DEFAULT_ROWS = 4_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement: rows, wall seconds, CPU seconds of the process tree."""

    name: str
    rows: int
    seconds: float
    cpu_seconds: float

    def line(self, roofline: float | None = None) -> dict[str, Any]:
        """As shown in the results; `roofline` is rows/s of the decoded read."""
        speed = self.rows / self.seconds
        share = {} if roofline is None else {"share_of_roofline": round(speed / roofline, 3)}
        cost = round(self.cpu_seconds / self.rows * 1e6, 2)
        return {
            "name": self.name,
            "rows": self.rows,
            "rows_per_second": round(speed),
            "cpu_s_per_million": cost,
            **share,
        }


def fill(settings: Settings, dataset: Dataset, rows: int) -> None:
    """Create the topic and write so many real transactions into it."""
    admin = AdminClient(client_config(settings))  # kept: a client that is let go cancels what it was asked
    admin.create_topics([NewTopic(dataset.topic, PARTITIONS, 1)])[dataset.topic].result()
    with RegistryClient(settings) as registry:
        schema = avro_schema(dataset)
        encoder = AvroEncoder(schema, registry.register(dataset.subject, schema))
    source = event_source("transactions")
    producer = Producer(
        client_config(settings, linger_ms=50, compression_type="lz4", queue_buffering_max_messages=2_000_000)
    )
    left = rows
    while left > 0:
        table = source.rows(limit=left)
        left -= table.num_rows
        for batch in table.to_batches(max_chunksize=50_000):
            encoded = encoder.encode(source.events(pa.Table.from_batches([batch]), 1).combine_chunks().to_batches()[0])
            for key, value in zip(source.keys(batch), encoded, strict=True):
                producer.produce(dataset.topic, key=key, value=value)
            producer.poll(0)
            while len(producer) > 500_000:
                producer.poll(0.1)
    assert producer.flush(120) == 0


def measure(name: str, rows: int, action: Callable[[], None]) -> Measured:
    """Wall and CPU time of an action."""
    cpu, begun = tree_cpu(), time.perf_counter()
    action()
    measured = Measured(name, rows, time.perf_counter() - begun, tree_cpu() - cpu)
    print(measured.line(), file=sys.stderr, flush=True)
    return measured


def tree_cpu() -> float:
    """CPU seconds so far of this process and its children."""
    me = psutil.Process()
    return sum(sum(p.cpu_times()[:2]) for p in (me, *me.children(recursive=True)))


def to_nowhere(spark: SparkSession, settings: Settings, topic: str, column: Column) -> None:
    """Read the whole topic and drop it."""
    options = spark_kafka_options(settings) | {"subscribe": topic, "startingOffsets": "earliest"}
    options |= {"kafka.max.poll.records": "10000", "kafka.max.partition.fetch.bytes": str(4 * 1024 * 1024)}
    frame: DataFrame = spark.read.format("kafka").options(**options).load()
    frame.select(column.alias("value")).write.format("noop").mode("overwrite").save()


def to_bronze(spark: SparkSession, settings: Settings, dataset: Dataset, rows: int) -> None:
    """The stream itself, from the beginning of the topic into a new table."""
    runner = StreamRunner(spark, settings, dataset, once=True)
    while not runner.ended:
        runner.tend()
        time.sleep(0.02)
    if runner.error is not None:
        raise runner.error
    assert runner.heartbeat.rows == rows, runner.heartbeat


def run(rows: int = DEFAULT_ROWS) -> dict[str, Any]:
    """All measurements of the stream; the keys fit `bench.run`."""
    settings = get_settings()
    mark = uuid.uuid4().hex[:8]
    dataset = replace(load_dataset("transactions"), name=f"bench_{mark}", source_name=f"bench.transactions.{mark}")
    fill(settings, dataset, rows)
    spark = stream_session(settings)
    spark.range(1).count()  # the JVM is up; what follows is its first stream
    names: list[str] = []

    def stream(name: str) -> Measured:
        names.append(f"{dataset.name}_{len(names)}")
        target = replace(dataset, name=names[-1])
        return measure(name, rows, lambda: to_bronze(spark, settings, target, rows))

    value, schema = F.col("value"), json.dumps(avro_schema(dataset))
    decoded = from_avro(F.substring(value, 6, 2**31 - 1), schema)
    try:
        cold = stream("Kafka to bronze, first run in a JVM")
        raw = [
            measure("Kafka to nowhere, raw", rows, lambda: to_nowhere(spark, settings, dataset.topic, value))
            for _ in range(2)
        ]
        roof = [
            measure(
                "Kafka to nowhere, decoded (roofline)",
                rows,
                lambda: to_nowhere(spark, settings, dataset.topic, decoded),
            )
            for _ in range(2)
        ]
        warm = [stream("Kafka to bronze, warm") for _ in range(2)]
    finally:
        for name in names:
            get_catalog().purge_table(f"bronze.{name}")
        admin = AdminClient(client_config(settings))
        admin.delete_topics([dataset.topic])[dataset.topic].result()
        spark.stop()
    roofline = rows / roof[-1].seconds
    measured = [cold, raw[-1], roof[-1], *warm]
    return {"stream": [m.line(roofline) for m in measured], "cpus": psutil.cpu_count(), "load": psutil.getloadavg()[0]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS)
    print(json.dumps(run(parser.parse_args().rows), indent=1))
