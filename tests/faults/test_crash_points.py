"""The stream is killed (SIGKILL) at each named point between Kafka and ClickHouse, and started again. All once.

What bronze and the live table must hold is counted from what was produced, not from the platform's own accounts.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from tests.streams import StreamCase, await_that, kill_group, launch, sale, stream_case

from headwater.settings import Settings
from headwater.streaming.live import LiveFollower
from headwater.warehouse.client import writer

pytestmark = [pytest.mark.integration, pytest.mark.fault]

NUMBERS = range(300)
LANDED_BY_THEN: dict[str, Callable[[int], bool]] = {
    "after-decode": lambda rows: rows == 0,
    # The swap may still come about: Postgres has the statement, and does not know that nobody waits for its answer.
    "during-bronze-commit": lambda rows: rows in (0, len(NUMBERS)),
    "after-bronze-commit": lambda rows: rows == len(NUMBERS),
}


@pytest.fixture
def case(stack: Settings) -> StreamCase:
    """300 sales on two partitions."""
    made = stream_case(stack)
    for partition in (0, 1):
        sales = [made.framed(sale(number)) for number in NUMBERS if number % 2 == partition]
        made.produce(*sales, partition=partition)
    return made


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("after-decode", marks=pytest.mark.thorough),
        "during-bronze-commit",
        pytest.param("after-bronze-commit", marks=pytest.mark.thorough),  # fault 5 has it too
    ],
)
def test_bronze_has_every_record_once(case: StreamCase, spark: SparkSession, tmp_path: Path, point: str):
    dies_at(case, tmp_path, point)
    assert LANDED_BY_THEN[point](in_bronze(case).total())
    case.produce(b"\x01noise", partition=1)

    case.read_once(spark)

    assert in_bronze(case) == Counter({f"{number}-1": 1 for number in NUMBERS}) + Counter([None])
    assert case.places() == [(0, offset) for offset in range(150)] + [(1, offset) for offset in range(151)]
    assert LiveFollower(case.dataset).catch_up() == len(NUMBERS)
    assert in_live(case) == dict.fromkeys(NUMBERS, 1)
    assert case.ledger(exact=True).unaccounted == 0


@pytest.mark.parametrize("point", ["during-insert", "after-insert", "before-position", "after-position"])
def test_the_live_table_has_every_record_once(case: StreamCase, spark: SparkSession, tmp_path: Path, point: str):
    case.read_once(spark)
    dies_at(case, tmp_path, point, "-m", "headwater.cli", "stream", "follow", case.dataset.name, "--once")
    assert len(in_live(case)) == (0 if point == "during-insert" else len(NUMBERS))
    case.sales(1000)
    case.read_once(spark)

    LiveFollower(case.dataset).catch_up()

    assert in_live(case) == dict.fromkeys([*NUMBERS, 1000], 1)
    assert LiveFollower(case.dataset).catch_up() == 0
    assert in_bronze(case) == Counter({f"{number}-1": 1 for number in [*NUMBERS, 1000]})


def dies_at(case: StreamCase, project: Path, point: str, *command: str) -> None:
    """Run the stream (or the command) until it kills itself."""
    process = launch(case, project, *command, STREAM_CRASH_AT=point)
    try:
        await_that(lambda: process.poll() is not None, f"it has reached {point}", 150)
    finally:
        kill_group(process)
    assert process.returncode == -signal.SIGKILL, (project / "stream.log").read_text()[-2000:]


def in_bronze(case: StreamCase) -> Counter[str | None]:
    """How often each event is in bronze."""
    from headwater.lake.catalog import get_catalog

    if not get_catalog().table_exists(f"bronze.{case.dataset.name}"):
        return Counter()
    return Counter(row["event_id"] for row in case.bronze("event_id"))


def in_live(case: StreamCase) -> dict[int, int]:
    """How often each basket is in the live table, as a query with FINAL sees it."""
    asked = f"SELECT basket_id, count() FROM live.{case.dataset.name} FINAL GROUP BY basket_id"
    with writer() as client:
        return {int(basket): int(count) for basket, count in client.query(asked).result_rows}
