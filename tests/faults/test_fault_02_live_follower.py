"""Faults 2 and 3: the live follower dies before it notes its position; an answer is lost."""

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client
from pyspark.sql import SparkSession
from tests.streams import StreamCase, sale, stream_case

from headwater.lake.catalog import get_catalog
from headwater.settings import Settings
from headwater.streaming.live import LiveFollower
from headwater.streaming.live_tables import LivePosition
from headwater.warehouse.client import writer

pytestmark = pytest.mark.integration


class DiesBeforeThePosition(LiveFollower):
    """Inserts and then ends, as a process does that is killed between insert and position."""

    def _record(self, client: Client, position: LivePosition) -> None:
        raise Killed


class Killed(Exception):
    """Stands for the signal."""


@pytest.fixture
def client() -> Iterator[Client]:
    connected = writer()
    yield connected
    connected.close()


@pytest.fixture
def case(stack: Settings, spark: SparkSession) -> StreamCase:
    """Twelve records: ten sales, one that breaks a rule, one that cannot be read."""
    made = stream_case(stack)
    made.produce(*(made.framed(sale(n)) for n in range(10)), made.framed(sale(99, quantity=-1)), b"\x01noise")
    made.read_once(spark)
    return made


def counts(client: Client, case: StreamCase) -> tuple[int, int]:
    """Rows as stored, and as a query with FINAL sees them."""
    name = f"live.{case.dataset.name}"
    return tuple(client.query(f"SELECT count() FROM {name}{final}").result_rows[0][0] for final in ("", " FINAL"))


def test_a_follower_killed_before_its_position_repeats_nothing(case: StreamCase, client: Client):
    with pytest.raises(Killed):
        DiesBeforeThePosition(case.dataset).catch_up()
    assert counts(client, case) == (10, 10)

    assert LiveFollower(case.dataset).catch_up() == 10  # sent again, and dropped by its token
    assert counts(client, case) == (10, 10)
    assert LiveFollower(case.dataset).catch_up() == 0


def test_goes_on_from_offsets_when_the_recorded_snapshot_has_expired(
    case: StreamCase, client: Client, spark: SparkSession
):
    follower = LiveFollower(case.dataset)
    follower.catch_up()
    for first in (20, 30):
        case.sales(*range(first, first + 5))
        case.read_once(spark)
    table = get_catalog().load_table(f"bronze.{case.dataset.name}")
    old = [s.snapshot_id for s in table.metadata.snapshots][:-1]
    table.maintenance.expire_snapshots().by_ids(old).commit()

    assert follower.catch_up() == 10
    assert counts(client, case) == (20, 20)
