"""What the bronze stream costs: Kafka to nowhere (raw, decoded), Kafka to bronze (cold, warm), in one JVM and one run.

CPU seconds are those of this process and its children (the JVM), without the broker.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import replace

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.avro.functions import from_avro

from bench.measure import Measurement, timed_tree
from bench.plain_events import plain_events
from bench.topics import Context
from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Dataset
from headwater.contracts.registry import RegistryClient
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings, get_settings
from headwater.streaming.broker import spark_kafka_options
from headwater.streaming.runner import StreamRunner
from headwater.streaming.session import stream_session

SHARE_OF_ROOFLINE = 0.40
CPU_SECONDS_PER_MILLION = 4.5
"""What the warm stream is to reach on 2 cores that it shares with the broker only, with the plain events."""


def measure(name: str, rows: int, action: Callable[[], None]) -> Measurement:
    """Wall and CPU time of an action."""
    with timed_tree() as timing:
        action()
    return timing.of(name, rows)


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


def measure_stream(context: Context) -> list[Measurement]:
    """The demo's sales (cold first, since nothing else may have run in the JVM), then the plain events."""
    topic = context.transactions_topic
    sales = replace(load_dataset("transactions"), name=f"bench_{uuid.uuid4().hex[:8]}", source_name=topic)
    schema = dict(context.schema.schema)
    with RegistryClient() as registry:
        # The stream knows a schema by its topic's own subject; the same schema has the same id in all of them.
        assert registry.register(sales.subject, schema) == context.schema.id
    spark = stream_session(get_settings())
    try:
        cold = _to_bronze(spark, sales, context.rows, "sales, Kafka to bronze, first run in a JVM")
        sold = _warm(spark, sales, schema, context.rows, "sales")
        events, event_schema = plain_events(context)
        seen = _warm(spark, events, event_schema, context.rows, "plain events")
    finally:
        spark.stop()
    return [cold, *sold, *_with_target(seen)]


def warm_stream(dataset: Dataset, rows: int) -> Measurement:
    """The second of two runs of the stream in a JVM of its own."""
    spark = stream_session(get_settings())
    try:
        return [_to_bronze(spark, dataset, rows, "plain events, Kafka to bronze, warm") for _ in range(2)][-1]
    finally:
        spark.stop()


def _warm(spark: SparkSession, dataset: Dataset, schema: dict[str, object], rows: int, what: str) -> list[Measurement]:
    """Raw, decoded and bronze, each at its second time; the last two with their share of the decoded one."""
    settings, value = get_settings(), F.col("value")
    decoded = from_avro(F.substring(value, 6, 2**31 - 1), json.dumps(schema))

    def nowhere(how: str, column: Column) -> Measurement:
        name = f"{what}, Kafka to nowhere, {how}"
        return [measure(name, rows, lambda: to_nowhere(spark, settings, dataset.topic, column)) for _ in range(2)][-1]

    raw, roof = nowhere("raw", value), nowhere("decoded (the roofline)", decoded)
    warm = [_to_bronze(spark, dataset, rows, f"{what}, Kafka to bronze, warm") for _ in range(2)][-1]
    return [_with_share(measured, roof) for measured in (raw, roof, warm)]


def _to_bronze(spark: SparkSession, dataset: Dataset, rows: int, what: str) -> Measurement:
    """The stream into a table that is new, and gone afterwards."""
    target = replace(dataset, name=f"{dataset.name}_{uuid.uuid4().hex[:4]}")
    try:
        return measure(what, rows, lambda: to_bronze(spark, get_settings(), target, rows))
    finally:
        get_catalog().purge_table(f"bronze.{target.name}")


def _with_target(measured: list[Measurement]) -> list[Measurement]:
    """The targets hold for the record they were set for, and for the warm stream."""
    raw, roof, warm = measured
    at_least = SHARE_OF_ROOFLINE * roof.rows_per_second
    return [raw, roof, replace(warm, at_least=at_least, cpu_at_most=CPU_SECONDS_PER_MILLION)]


def _with_share(measured: Measurement, roof: Measurement) -> Measurement:
    share = round(measured.rows_per_second / roof.rows_per_second, 3)
    return replace(measured, notes={"share of the roofline": share})
