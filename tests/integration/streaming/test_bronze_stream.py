"""The stream into bronze on a real broker: accounting, one writer, several batches, transactions."""

from datetime import UTC, datetime

import pytest
from pyspark.sql import SparkSession
from tests.streams import StreamCase, sale, stream_case

from headwater.lake.catalog import get_catalog
from headwater.lake.snapshots import properties_of
from headwater.settings import Settings
from headwater.streaming.lease import AlreadyRunning, Lease
from headwater.streaming.ledger import Account, account_of

pytestmark = pytest.mark.integration


def accounts(case: StreamCase) -> list[Account]:
    table = get_catalog().load_table(f"bronze.{case.dataset.name}")
    found = (account_of(properties_of(s), s.snapshot_id) for s in table.metadata.snapshots)
    return [account for account in found if account is not None]


def test_every_batch_is_one_snapshot_with_rows_and_account(stack: Settings, spark: SparkSession):
    case, begun = stream_case(stack), datetime.now(UTC)
    case.sales(*range(25))
    case.sales(*range(25, 40), partition=1)

    runner = case.read_once(spark, stack.model_copy(update={"stream_max_offsets_per_trigger": 16}))

    written = accounts(case)
    assert len(written) >= 3
    assert [a.unproven for a in written] == [0] * len(written)
    assert sum(a.added or 0 for a in written) == 40
    assert written[-1].offsets == {0: 25, 1: 15} == runner.heartbeat.offsets
    assert case.places() == [(0, o) for o in range(25)] + [(1, o) for o in range(15)]
    rows = get_catalog().load_table(f"bronze.{case.dataset.name}").scan().to_arrow().to_pylist()
    moments = {row["_ingested_at"] for row in rows}
    assert len(moments) == len(written), "each batch has its own moment, and no more than one"
    assert begun <= min(moments) <= max(moments) <= datetime.now(UTC)
    for partition in (0, 1):
        own = [row for row in rows if row["_kafka_partition"] == partition]
        by_offset = sorted(own, key=lambda row: row["_kafka_offset"])
        assert [row["_ingested_at"] for row in by_offset] == sorted(row["_ingested_at"] for row in own)


def test_nothing_new_writes_nothing(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    case.sales(1)
    case.read_once(spark)
    case.read_once(spark)
    assert len(accounts(case)) == 1


def test_aborted_records_and_markers_are_empty_not_missing(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    good = case.framed(sale(1))
    case.produce(good, good, transactional=True)  # offsets 0, 1, marker 2
    case.produce(good, good, good, transactional=False)  # 3, 4, 5, marker 6
    case.produce(good, transactional=True)  # 7, marker 8

    case.read_once(spark)

    assert case.places() == [(0, 0), (0, 1), (0, 7)]
    line = case.ledger().partitions[0]
    assert (line.next, line.read, line.empty, line.unaccounted, line.missing) == (9, 3, 6, 0, 0)
    assert case.ledger(exact=True).unaccounted == 0


def test_a_second_writer_is_refused(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    first = Lease(stack, case.dataset.name)
    first.acquire()
    case.sales(1)

    with pytest.raises(AlreadyRunning, match="another process writes the stream"):
        case.read_once(spark, stack.model_copy(update={"stream_handover_seconds": 0.5}))

    assert not get_catalog().table_exists(f"bronze.{case.dataset.name}")
    first.check()
    first.beat("stopped", "", {}, held=False)
    case.read_once(spark)
    assert case.places() == [(0, 0)]
