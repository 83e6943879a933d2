"""The ledger stays exact through what becomes of a topic and of a table: real ones, read by a real stream."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions
from pyspark.sql import SparkSession
from tests.streams import StreamCase, await_that, sale, stream_case

from headwater.lake import compaction
from headwater.lake.catalog import get_catalog
from headwater.lake.maintenance import Wish, maintain_table
from headwater.settings import Settings
from headwater.streaming.broker import Broker
from headwater.streaming.records import CommittedRecords
from headwater.streaming.verification import verify

pytestmark = pytest.mark.integration

Line = tuple[int, int, int, int, int, int]
"""Partition, next offset, read, quarantined, empty, unaccounted."""


@pytest.fixture
def case(stack: Settings) -> StreamCase:
    return stream_case(stack)


def ledger(case: StreamCase) -> list[Line]:
    """The ledger by summaries, which must be the same by rows; `--verify` must agree."""
    found = [case.ledger(exact=exact).partitions for exact in (False, True)]
    told, counted = (
        [(p.partition, p.next, p.read, p.quarantined, p.empty, p.unaccounted) for p in partitions]
        for partitions in found
    )
    assert told == counted
    broker = Broker(case.settings)
    checked = verify(case.dataset, broker.topic(case.dataset.topic), broker)
    assert checked is not None
    assert checked.agrees, list(checked.findings())
    return told


def test_new_partitions_compaction_and_expiry_change_no_number(
    case: StreamCase, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compaction, "MIN_INPUT_FILES", 2)
    case.sales(0, 1, 2)
    case.sales(3, partition=1)
    case.read_once(spark)
    topic = case.dataset.topic
    case.admin.create_partitions([NewPartitions(topic, 3)])[topic].result()
    await_that(lambda: len(Broker(case.settings).topic(topic).high) == 3, "the new partition")
    case.produce(case.framed(sale(4)), b"noise", partition=2)
    case.sales(5)
    assert ledger(case) == [(0, 3, 3, 0, 0, 1), (1, 1, 1, 0, 0, 0), (2, 0, 0, 0, 0, 2)]
    case.read_once(spark)
    whole = [(0, 4, 4, 0, 0, 0), (1, 1, 1, 0, 0, 0), (2, 2, 1, 1, 0, 0)]
    assert ledger(case) == whole

    name, at_once = f"bronze.{case.dataset.name}", Wish(settled=timedelta(0), keep=timedelta(microseconds=1))
    done = maintain_table(spark, get_catalog(), case.dataset, name, at_once)["done"]
    assert (done["compact"]["files_rewritten"], done["expire"]["snapshots"]) == (2, 1)
    assert ledger(case) == whole
    case.sales(6, partition=2)
    case.read_once(spark)
    assert ledger(case) == [*whole[:2], (2, 3, 2, 1, 0, 0)]


@pytest.fixture
def tidy_broker(case: StreamCase) -> Iterator[None]:
    """A broker that looks for something to compact all the time, not every 15 seconds."""
    (broker_id,) = case.admin.list_topics(timeout=10).brokers
    broker = ConfigResource(ConfigResource.Type.BROKER, str(broker_id))
    configure(case.admin, broker, AlterConfigOpType.SET, {"log.cleaner.backoff.ms": "100"})
    yield
    configure(case.admin, broker, AlterConfigOpType.DELETE, {"log.cleaner.backoff.ms": ""})


def configure(admin: AdminClient, whose: ConfigResource, how: AlterConfigOpType, values: dict[str, str]) -> None:
    entries = [ConfigEntry(name, value, incremental_operation=how) for name, value in values.items()]
    changed = ConfigResource(whose.restype, whose.name, incremental_configs=entries)
    admin.incremental_alter_configs([changed])[changed].result()


@pytest.mark.usefixtures("tidy_broker")
def test_what_kafka_compacted_away_is_empty_and_not_missing(case: StreamCase, spark: SparkSession):
    compacted = {"cleanup.policy": "compact", "segment.ms": "50", "min.cleanable.dirty.ratio": "0.01"}
    topic = ConfigResource(ConfigResource.Type.TOPIC, case.dataset.topic)
    configure(case.admin, topic, AlterConfigOpType.SET, compacted)
    case.sales(*range(5))  # all with one key: the last of them stays
    sent = 5

    def compacted_away() -> bool:
        nonlocal sent
        case.sales(sent)  # a segment ends, and may be compacted, when something comes after it
        sent += 1
        with CommittedRecords(case.settings, case.dataset.topic) as records:
            return (records.first_at_or_after(0, 0) or 0) > 0

    await_that(compacted_away, "the first record to be compacted away")
    case.read_once(spark)
    (line, _) = ledger(case)
    _, following, read, _, empty, unaccounted = line
    assert (following, read + empty, unaccounted) == (sent, sent, 0)
    assert empty > 0
