"""Fault 14: change data, on a real Postgres, Debezium, Kafka, registry and Spark. Silver equals the source table.

Duplicates, records out of order, a delete and an insert again, a changed key, tombstones, a truncate; columns that come
and go while the changes stream. Each time `headwater cdc verify` and a comparison of its own say so.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from pyspark.sql import SparkSession
from ruamel.yaml import YAML
from tests.cdc import ACCOUNTS, CapturedDatabase, captured_database
from tests.conftest import environment
from typer.testing import CliRunner

from headwater.cdc.arrival import await_topic
from headwater.cdc.commands import app
from headwater.cdc.snapshots import resnapshot
from headwater.cdc.source import connected
from headwater.cdc.verification import verify
from headwater.contracts.iceberg import ensure_tables
from headwater.contracts.loader import load_file
from headwater.kafka import client_config
from headwater.lake.catalog import get_catalog
from headwater.lake.silver import build
from headwater.settings import Settings, get_settings
from headwater.streaming.broker import Broker
from headwater.streaming.runner import StreamRunner

pytestmark = [pytest.mark.integration, pytest.mark.fault]

NAME = f"accounts_{uuid.uuid4().hex[:8]}"
DDL = """
CREATE SCHEMA bank;
CREATE TABLE bank.accounts (
  account_id bigint PRIMARY KEY, owner_name text NOT NULL, balance numeric(12,2), opened_on date, changed_at timestamp
);
INSERT INTO bank.accounts
SELECT n, 'Owner ' || n, n * 1.25, DATE '2020-01-01' + n::int, TIMESTAMP '2020-01-01' + n * interval '1 s'
FROM generate_series(1, 500) AS n;
"""
COLUMNS = "account_id, owner_name, balance, opened_on, changed_at"


class Bank:
    """The source, and the way of its changes to silver."""

    def __init__(self, database: CapturedDatabase, spark: SparkSession) -> None:
        self.database, self.spark = database, spark

    @property
    def settings(self) -> Settings:
        return self.database.settings

    def execute(self, *statements: str) -> None:
        """Each in a transaction of its own."""
        for statement in statements:
            self.database.execute(statement)

    def arrive(self) -> None:
        """Until all that the source has logged is in silver."""
        lsn = self.database.one("SELECT pg_current_wal_insert_lsn()::text")
        await_topic(self.settings, self.database.capture, lsn, time.monotonic() + 60)
        self.read()

    def read(self) -> None:
        """What the topic has, into bronze and silver."""
        dataset = self.database.dataset
        runner = StreamRunner(self.spark, self.settings, dataset, once=True)
        deadline = time.monotonic() + 120
        while not runner.ended:
            assert time.monotonic() < deadline, runner.heartbeat
            runner.tend()
            time.sleep(0.05)
        assert runner.error is None, runner.error
        ensure_tables(get_catalog(), dataset)
        build(self.spark, get_catalog(), dataset)

    def source(self, columns: str = COLUMNS) -> list[tuple[Any, ...]]:
        with connected(self.settings, self.database.capture.database) as connection:
            return connection.execute(f"SELECT {columns} FROM bank.accounts ORDER BY account_id".encode()).fetchall()

    def silver(self, columns: str = COLUMNS) -> list[tuple[Any, ...]]:
        """The live rows, by Spark and plain SQL."""
        names = columns.replace("owner_name", "owner")
        query = (
            f"SELECT {names} FROM lake.silver.{self.database.dataset.name} WHERE NOT _is_deleted ORDER BY account_id"
        )
        return [tuple(row) for row in self.spark.sql(query).collect()]

    def check(self) -> None:
        """Silver is what the source is, twice told; the source stands still, and all of it has arrived."""
        found = verify(self.settings, self.database.dataset.name, wait=0, range_rows=50)
        assert found.equal, found
        assert (found.source_rows, found.unsettled) == (len(self.source()), 0)
        assert self.silver() == self.source()

    def send_again(self) -> int:
        """Every record of the topic once more into its partition, and the newest first."""
        topic = self.database.dataset.topic
        consumer = Consumer(client_config(self.settings, group_id=f"{NAME}-again", enable_auto_commit=False))
        producer = Producer(client_config(self.settings))
        count = 0
        for partition, end in Broker(self.settings).ends(topic).items():
            consumer.assign([TopicPartition(topic, partition, 0)])
            found = []
            while len(found) < end:
                message = consumer.poll(10)
                assert message is not None
                assert message.error() is None
                found.append(message)
            for message in reversed(found):
                producer.produce(topic, key=message.key(), value=message.value(), partition=partition)
            count += len(found)
        assert producer.flush(30) == 0
        consumer.close()
        return count


@pytest.fixture(scope="module")
def bank(connect: Settings, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    project = tmp_path_factory.mktemp("fault14")
    path = project / "schemas" / "contracts" / "accounts" / f"{NAME}.yaml"
    path.parent.mkdir(parents=True)
    contract = YAML().load(ACCOUNTS.read_text())
    contract["id"] = f"accounts.{NAME}"
    contract["schema"][0]["name"] = NAME
    YAML().dump(contract, path)
    with (
        environment(HEADWATER_PROJECT_DIR=str(project), HEADWATER_POSTGRES_SOURCE_DATABASE="cdc_fault_14"),
        captured_database(get_settings(), DDL, path) as database,
    ):
        database.apply()
        yield Bank(database, spark)


def test_silver_is_the_source_whatever_comes_and_comes_again(bank: Bank):
    bank.arrive()
    bank.check()

    bank.execute(
        "UPDATE bank.accounts SET balance = balance + 1 WHERE account_id % 7 = 0",
        "UPDATE bank.accounts SET balance = balance WHERE account_id = 3",
        "DELETE FROM bank.accounts WHERE account_id BETWEEN 100 AND 119",
        "INSERT INTO bank.accounts VALUES (100, 'Back again', 0, NULL, NULL)",
        "UPDATE bank.accounts SET account_id = 9001 WHERE account_id = 200",
        "UPDATE bank.accounts SET account_id = 9002 WHERE account_id = 9001",
        "DELETE FROM bank.accounts WHERE account_id = 201; INSERT INTO bank.accounts VALUES (201, 'Replaced', 1)",
        "INSERT INTO bank.accounts VALUES (9003, 'Gone at once', 1); DELETE FROM bank.accounts WHERE account_id = 9003",
        "UPDATE bank.accounts SET balance = 0 WHERE account_id IN (301, 302, 303)",
        "DO $$ BEGIN UPDATE bank.accounts SET balance = -1 WHERE account_id = 300; "
        "BEGIN UPDATE bank.accounts SET balance = -2 WHERE account_id = 299; RAISE 'half of it'; "
        "EXCEPTION WHEN raise_exception THEN NULL; END; END $$",
    )
    with pytest.raises(psycopg.errors.DivisionByZero):
        bank.execute("UPDATE bank.accounts SET balance = -3 WHERE account_id = 298; SELECT 1 / 0")
    bank.arrive()
    bank.check()

    assert bank.send_again() > 500
    bank.execute("UPDATE bank.accounts SET owner_name = 'Last' WHERE account_id = 1")
    bank.arrive()
    bank.check()
    operations = bank.spark.sql(f"SELECT DISTINCT _operation FROM lake.bronze.{NAME} WHERE _error IS NULL").collect()
    assert {row[0] for row in operations} == {"read", "insert", "update", "delete", "tombstone"}
    rows = bank.spark.sql(f"SELECT DISTINCT _tx_id, _committed_at, balance FROM lake.bronze.{NAME} WHERE balance < 0")
    of = {balance: {(tx, at) for tx, at, found in rows.collect() if found == balance} for balance in (-1, -2, -3)}
    assert len(of[-1]) == 1, "a transaction with a part that was rolled back"
    assert not of[-2] | of[-3], "what was rolled back never happened"
    three = f"SELECT _tx_id, _committed_at FROM lake.bronze.{NAME} WHERE account_id IN (301, 302, 303) AND balance = 0"
    assert len({tuple(row) for row in bank.spark.sql(three).collect()}) == 1, "the rows of one transaction say so"


def test_a_change_that_was_open_during_a_new_snapshot_wins(bank: Bank):
    capture = bank.database.capture
    with connected(bank.settings, capture.database) as connection, connection.transaction():
        connection.execute("UPDATE bank.accounts SET owner_name = 'Open' WHERE account_id = 5")
        assert resnapshot(bank.settings, capture, 60) == {"bank.accounts": len(bank.source())}
    bank.arrive()
    bank.check()
    query = f"SELECT * FROM lake.bronze.{NAME} WHERE account_id = 5 ORDER BY _kafka_offset DESC LIMIT 2"
    update, read = bank.spark.sql(query).collect()
    assert (read["_operation"], update["_operation"]) == ("read", "update")
    assert update["_lsn"] < read["_prior_commit_lsn"], "it was written before the row was read"
    assert read["_prior_commit_lsn"] < update["_prior_commit_lsn"], "and committed after that"


def test_columns_come_and_go_while_changes_stream(bank: Bank):
    bank.execute(
        "ALTER TABLE bank.accounts ADD COLUMN phone text",
        "UPDATE bank.accounts SET phone = '555-' || account_id WHERE account_id < 20",
        "ALTER TABLE bank.accounts DROP COLUMN opened_on",
        "ALTER TABLE bank.accounts ALTER COLUMN balance TYPE numeric(14,2)",
        "INSERT INTO bank.accounts (account_id, owner_name, balance, phone) VALUES (9100, 'New', 12.5, '1')",
        "INSERT INTO bank.accounts (account_id, owner_name, balance) VALUES (9101, 'Wide', 123456789012.25)",
        "ALTER TABLE bank.accounts RENAME COLUMN changed_at TO touched_at",
        "UPDATE bank.accounts SET touched_at = '2021-02-03 04:05:06' WHERE account_id = 2",
    )
    _change_contract(bank)
    bank.arrive()
    there = "account_id, owner_name, balance, phone"
    found = verify(bank.settings, NAME, wait=60, range_rows=50)
    assert found.equal, found
    assert found.without == ("opened_on",)
    assert bank.silver(there) == bank.source(there)
    assert bank.silver("account_id, changed_at") == bank.source("account_id, touched_at")
    assert bank.silver("opened_on, account_id")[-2:] == [(None, 9100), (None, 9101)]
    assert bank.silver("balance")[-1] == (Decimal("123456789012.25"),), "more than the contract allowed before"


@pytest.mark.thorough
def test_silver_is_the_source_while_changes_go_on(bank: Bank):
    """Nothing stands still: the source changes, bronze and silver follow in turns, and the comparison holds."""
    stopping, failures = threading.Event(), []

    def again_and_again(action: Callable[[int], None]) -> None:
        number = 0
        try:
            while not stopping.is_set():
                action(number)
                number += 1
        except BaseException as error:  # noqa: BLE001  (told at the end)
            failures.append(error)

    def change(number: int) -> None:
        key = number % 400 + 1
        bank.execute(f"UPDATE bank.accounts SET balance = {number} WHERE account_id = {key}")
        bank.execute(f"DELETE FROM bank.accounts WHERE account_id = {8000 + number - 5}")
        bank.execute(f"INSERT INTO bank.accounts (account_id, owner_name) VALUES ({8000 + number}, 'n{number}')")
        stopping.wait(0.05)

    threads = [threading.Thread(target=again_and_again, args=[one]) for one in (change, lambda _: bank.read())]
    for thread in threads:
        thread.start()
    try:
        found = [verify(bank.settings, NAME, wait=120, range_rows=50) for _ in range(2)]
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert [one.equal for one in found] == [True, True], found
    assert found[0].lsn != found[1].lsn
    bank.arrive()
    found = [verify(bank.settings, NAME, wait=60, range_rows=50)]
    assert (found[0].equal, found[0].unsettled) == (True, 0), found


def test_a_difference_is_found_and_named(bank: Bank):
    table = f"lake.silver.{NAME}"
    bank.spark.sql(f"DELETE FROM {table} WHERE account_id = 10")
    bank.spark.sql(f"UPDATE {table} SET owner = 'Somebody else' WHERE account_id = 11")
    bank.spark.sql(f"UPDATE {table} SET _is_deleted = false WHERE account_id = 105")
    answer = CliRunner().invoke(app, ["verify", NAME, "--wait", "0", "--json"], catch_exceptions=False)
    assert answer.exit_code == 1, answer.output
    found = json.loads(answer.stdout)
    assert found["keys"] == {
        "missing": [{"account_id": "10"}],
        "extra": [{"account_id": "105"}],
        "differing": [{"account_id": "11"}],
    }
    assert verify(bank.settings, NAME, wait=0, range_rows=50).ranges_differing == 2


def test_a_truncate_empties_silver_too(bank: Bank):
    bank.execute("TRUNCATE bank.accounts", "INSERT INTO bank.accounts (account_id, owner_name) VALUES (1, 'First')")
    lsn = bank.database.one("SELECT pg_current_wal_insert_lsn()::text")
    await_topic(bank.settings, bank.database.capture, lsn, time.monotonic() + 60)
    bank.send_again()
    bank.read()
    assert bank.silver("account_id, owner_name") == [(1, "First")]
    found = verify(bank.settings, NAME, wait=60)
    assert found.equal, found


def _change_contract(bank: Bank) -> None:
    """The contract follows the source: a column more, a wider one, and one that is called otherwise now."""
    path = bank.database.dataset.path
    contract = YAML().load(path.read_text())
    columns = contract["schema"][0]["properties"]
    columns[-1]["physicalName"] = "touched_at"
    next(column for column in columns if column["name"] == "balance")["physicalType"] = "decimal(14,2)"
    columns.append({"name": "phone", "logicalType": "string", "physicalType": "string", "description": "Telephone"})
    YAML().dump(contract, path)
    bank.database.dataset = load_file(path)
