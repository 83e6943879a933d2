"""The live table follows bronze: what it takes when its position, bronze's history or the topic is gone."""

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from tests.integration.streaming.bronze import Bronze, new_bronze, row

from headwater.contracts.iceberg import apply_table
from headwater.contracts.loader import load_dataset, load_file
from headwater.contracts.warehouse import apply_warehouse
from headwater.errors import RetryableError
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings
from headwater.streaming.ledger import Account
from headwater.streaming.live import LiveFollower
from headwater.streaming.live_tables import LivePosition, ensure_tables
from headwater.warehouse.client import writer

pytestmark = pytest.mark.integration


class Killed(Exception):
    """Stands for the signal."""


class DiesBeforeThePosition(LiveFollower):
    """Inserts and then ends, as a process does that is killed between insert and position."""

    def _record(self, client: Client, position: LivePosition) -> None:
        raise Killed


@pytest.fixture
def client(stack: Settings) -> Iterator[Client]:
    connected = writer()
    yield connected
    connected.close()


@pytest.fixture
def bronze(stack: Settings) -> Bronze:
    return new_bronze()


def seen(client: Client, bronze: Bronze, columns: str = "basket_id") -> list[Any]:
    """Rows as a query with FINAL sees them, by basket."""
    found = client.query(f"SELECT {columns} FROM live.{bronze.dataset.name} FINAL ORDER BY basket_id").result_rows
    return [line[0] if len(line) == 1 else line for line in found]


def stored(client: Client, bronze: Bronze) -> int:
    return int(client.query(f"SELECT count() FROM live.{bronze.dataset.name}").result_rows[0][0])


def three_snapshots(bronze: Bronze) -> None:
    for first in (0, 3, 6):
        bronze.commit(*(row(n, n) for n in range(first, first + 3)))


def test_an_empty_table_is_filled_with_all_of_bronze_though_its_first_snapshots_have_expired(
    bronze: Bronze, client: Client
):
    three_snapshots(bronze)
    bronze.expire_all_but_the_newest()

    assert LiveFollower(bronze.dataset).catch_up() == 9
    assert seen(client, bronze) == list(range(9))
    assert LiveFollower(bronze.dataset).catch_up() == 0


COLUMN = """
      - name: campaign
        logicalType: string
        physicalType: string
        description: Came later
"""


def test_a_column_that_the_contract_gains_is_taken_from_the_apply_on_without_a_restart(
    client: Client, tmp_path: Path
) -> None:
    """A follower that kept the contract it began with would leave the column empty, in silence."""
    name = f"live_{uuid.uuid4().hex[:10]}"
    text = load_dataset("transactions").path.read_text().replace("transactions", name)
    path = tmp_path / "loyalty" / f"{name}.yaml"
    path.parent.mkdir()
    path.write_text(text)
    bronze = new_bronze(dataset=load_file(path))
    follower = LiveFollower(bronze.dataset)
    bronze.commit(row(0, 0))
    follower.catch_up()
    mark = "\n      - name: week\n"
    assert mark in text
    path.write_text(text.replace(mark, COLUMN + mark[1:]))
    os.utime(path, ns=(path.stat().st_mtime_ns + 1,) * 2)
    bronze.dataset = load_file(path)
    apply_table(get_catalog(), bronze.dataset, bronze.name)
    bronze.commit(row(1, 1))
    assert follower.catch_up() == 1, "not applied to ClickHouse yet: the former contract goes on"

    apply_warehouse(bronze.dataset)
    bronze.commit(row(2, 2, campaign="spring"))
    assert follower.catch_up() == 1
    assert seen(client, bronze, "basket_id, campaign") == [(0, None), (1, None), (2, "spring")]
    path.write_text("no contract")
    bronze.commit(row(3, 3, campaign="summer"))
    assert follower.catch_up() == 1, "a file that is being edited stops nothing"
    assert seen(client, bronze, "basket_id, campaign")[-1] == (3, "summer")


def test_a_table_that_was_made_anew_is_filled_anew(bronze: Bronze, client: Client):
    """As `contract apply` does where the sorting key changes."""
    three_snapshots(bronze)
    LiveFollower(bronze.dataset).catch_up()
    client.command(f"DROP TABLE live.{bronze.dataset.name} SYNC")

    assert LiveFollower(bronze.dataset).catch_up() == 9
    assert seen(client, bronze) == list(range(9))


def test_a_table_that_is_made_anew_while_it_is_followed_is_filled_anew(bronze: Bronze, client: Client):
    three_snapshots(bronze)
    follower = LiveFollower(bronze.dataset)
    follower.catch_up()
    client.command(f"DROP TABLE live.{bronze.dataset.name} SYNC")
    ensure_tables(client, bronze.dataset)
    bronze.commit(row(9, 9))

    with pytest.raises(RetryableError, match="made anew"):
        follower.catch_up()
    assert follower.catch_up() == 10


def test_a_fill_that_was_cut_off_is_repeated_without_a_trace(bronze: Bronze, client: Client):
    three_snapshots(bronze)
    with pytest.raises(Killed):
        DiesBeforeThePosition(bronze.dataset).catch_up()
    bronze.commit(row(9, 9))

    assert LiveFollower(bronze.dataset).catch_up() == 10  # nine of them sent again, and dropped by their tokens
    assert stored(client, bronze) == 10


class DiesInTheThirdFile(LiveFollower):
    """ClickHouse goes away while the third file is sent, once."""

    died = 0

    def _insert(self, client: Client, token: str, batch: pa.RecordBatch) -> int:
        self.died += 1
        if self.died == 3:
            raise Killed
        return super()._insert(client, token, batch)


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_fill_that_clickhouse_cut_off_goes_on_where_it_was(bronze: Bronze, client: Client, made_anew: bool):
    three_snapshots(bronze)
    follower = DiesInTheThirdFile(bronze.dataset)
    with pytest.raises(Killed):
        follower.catch_up()
    follower._close()  # as `follow` does
    if made_anew:
        client.command(f"DROP TABLE live.{bronze.dataset.name} SYNC")

    assert follower.catch_up() == (9 if made_anew else 3)
    assert seen(client, bronze) == list(range(9))
    bronze.commit(row(9, 9))
    assert follower.catch_up() == 1


def test_rows_the_live_table_would_drop_at_once_are_not_sent(bronze: Bronze, client: Client):
    old = datetime.now(UTC) - timedelta(days=(bronze.dataset.live.ttl_days or 0) + 2)
    bronze.commit(row(0, 0, _ingested_at=old), row(1, 1))

    assert LiveFollower(bronze.dataset).catch_up() == 1
    assert seen(client, bronze) == [1]


def test_beyond_an_expired_position_come_the_later_offsets_and_what_was_replayed(bronze: Bronze, client: Client):
    bronze.commit(row(0, 0), row(1, 1, quantity=-1))
    follower = LiveFollower(bronze.dataset)
    assert follower.catch_up() == 1
    bronze.commit(row(1, 1, _attempt=1), ends=bronze.account.offsets)
    bronze.commit(row(2, 2))
    bronze.commit(row(3, 0, _kafka_partition=1))
    bronze.expire_all_but_the_newest()

    assert follower.catch_up() == 3
    assert seen(client, bronze) == [0, 1, 2, 3]


def test_after_an_expired_position_in_a_topic_that_is_gone_everything_is_taken(bronze: Bronze, client: Client):
    three_snapshots(bronze)
    follower = LiveFollower(bronze.dataset)
    follower.catch_up()
    bronze.account = Account("T2", {}, {})
    bronze.commit(row(20, 0))
    bronze.commit(row(21, 1))
    bronze.expire_all_but_the_newest()

    follower.catch_up()

    assert seen(client, bronze) == [*range(9), 20, 21]


def test_a_corrected_line_counts_once(bronze: Bronze, client: Client):
    """Whatever was corrected: only basket and product are the line's key."""
    bronze.commit(row(1, 0, store_id=3), row(1, 1, store_id=4))
    LiveFollower(bronze.dataset).catch_up()
    bronze.commit(row(1, 2, store_id=5), row(2, 3))
    LiveFollower(bronze.dataset).catch_up()

    assert seen(client, bronze, "basket_id, store_id") == [(1, 5), (2, 2)]


def test_what_a_recreated_topic_brings_wins_over_the_old_topics_higher_offsets(bronze: Bronze, client: Client):
    bronze.commit(row(1, 100, store_id=3))
    LiveFollower(bronze.dataset).catch_up()
    bronze.account = Account("T2", {}, {})
    bronze.commit(row(1, 0, store_id=4))
    LiveFollower(bronze.dataset).catch_up()

    assert seen(client, bronze, "store_id") == [4]
