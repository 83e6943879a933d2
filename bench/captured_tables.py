"""A source database of the benchmark's own with two captured tables: `bench_accounts`, as large as asked for, and
`bench_tellers`, small, whose changes tell how long a change takes while the other one is loaded.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from psycopg import sql
from pyiceberg.exceptions import NoSuchTableError

from headwater.cdc import applying
from headwater.cdc.arrival import await_topic
from headwater.cdc.connector import Capture
from headwater.cdc.source import connected
from headwater.contracts.layers import table_names
from headwater.contracts.loader import load_file
from headwater.contracts.model import Dataset
from headwater.kafka import client_config
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings, get_settings
from headwater.streaming.broker import Broker

DATABASE = "bench_cdc"
ACCOUNTS, TELLERS = "bench_accounts", "bench_tellers"
TELLER_ROWS = 1_000
CONTRACT = Path(__file__).parent / "captured" / "table.yaml"
CHANGE_SECONDS = 0.05
TOPIC_SECONDS = 3600.0
COLUMNS = "account_id, owner_name, balance, opened_on, changed_at"
ROWS = """
    SELECT n, 'Owner ' || n, n % 100000 * 0.25, DATE '2020-01-01' + (n % 3000)::int,
           TIMESTAMP '2020-01-01' + n * interval '1 s'
    FROM generate_series(1, {count}) AS n"""


class Bank:
    """The database, what is captured of it, and how long its changes take into the topics."""

    def __init__(self, settings: Settings, accounts: Dataset, tellers: Dataset, rows: int) -> None:
        self.settings, self.accounts, self.tellers, self.rows = settings, accounts, tellers, rows
        self._broker = Broker(settings)

    @property
    def capture(self) -> Capture:
        """Both tables."""
        return self.of(self.accounts, self.tellers)

    def of(self, *datasets: Dataset) -> Capture:
        """These tables alone."""
        return Capture(DATABASE, datasets, self.settings.capture_user)

    def apply(self, *datasets: Dataset) -> None:
        """Capture these tables, and wait until the connector runs."""
        list(applying.apply(self.settings, self.of(*datasets)))

    def execute(self, *statements: str) -> None:
        """Statements in one transaction."""
        with connected(self.settings, DATABASE) as connection, connection.transaction():
            for statement in statements:
                connection.execute(statement.encode())

    def one(self, query: str) -> Any:
        """The one value of a query."""
        with connected(self.settings, DATABASE) as connection:
            row = connection.execute(query.encode()).fetchone()
        return None if row is None else row[0]

    def arrive(self) -> None:
        """Until the topics have all that the source has logged."""
        lsn = self.one("SELECT pg_current_wal_insert_lsn()::text")
        await_topic(self.settings, self.capture, lsn, time.monotonic() + TOPIC_SECONDS)

    def messages(self) -> int:
        """Records in the topic of accounts."""
        return sum(self._broker.ends(self.accounts.topic).values())


class Changes:
    """Two transactions every 50 ms, in a thread of its own: accounts change, go and come, and so do their keys."""

    def __init__(self, bank: Bank) -> None:
        self.made = 0
        self._bank, self._random, self._stopping = bank, random.Random(7), threading.Event()  # noqa: S311
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="changes", daemon=True)

    def __enter__(self) -> Changes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with connected(self._bank.settings, DATABASE) as connection:
                while not self._stopping.wait(CHANGE_SECONDS):
                    self._change(connection)
        except BaseException as error:  # noqa: BLE001  (raised when the block ends)
            self._error = error

    def _change(self, connection: psycopg.Connection) -> None:
        """One row of tellers, and then an update, a delete, a new row or another key, each in its own transaction."""
        any_row, number = self._random.randint(1, self._bank.rows), self.made
        table = f"bank.{ACCOUNTS}"
        kinds = (
            f"UPDATE {table} SET balance = balance + 1 WHERE account_id = {any_row}",
            f"DELETE FROM {table} WHERE account_id = {any_row}",
            f"INSERT INTO {table} (account_id, owner_name) VALUES ({-1 - number}, 'New {number}')",
            f"UPDATE {table} SET account_id = {-10_000_000 - number} WHERE account_id = {any_row}",
        )
        teller = f"UPDATE bank.{TELLERS} SET changed_at = now() WHERE account_id = {1 + number % TELLER_ROWS}"
        for statement in (teller, kinds[number // 2 % len(kinds)]):
            connection.execute(statement.encode())
            self.made += 1


@contextmanager
def bank(rows: int) -> Iterator[Bank]:
    """Make the database, its tables and contracts; all of it, in the source and behind it, is gone afterwards."""
    with ExitStack() as cleanup:
        folder = Path(tempfile.mkdtemp(prefix="headwater-bench-"))
        cleanup.callback(shutil.rmtree, folder)
        cleanup.enter_context(
            _environment(HEADWATER_PROJECT_DIR=str(folder), HEADWATER_POSTGRES_SOURCE_DATABASE=DATABASE)
        )
        settings = get_settings()
        found = Bank(settings, _dataset(settings, ACCOUNTS), _dataset(settings, TELLERS), rows)
        if _exists(settings):
            _remove(found)  # what a run that was killed has left behind
        _admin(settings, "CREATE DATABASE {}")
        cleanup.callback(_remove, found)
        for name, count in ((ACCOUNTS, rows), (TELLERS, TELLER_ROWS)):
            found.execute(
                "CREATE SCHEMA IF NOT EXISTS bank",
                f"CREATE TABLE bank.{name} (account_id bigint PRIMARY KEY, owner_name text NOT NULL, "
                "balance numeric(12,2), opened_on date, changed_at timestamp)",
                f"INSERT INTO bank.{name} {ROWS.format(count=count)}",
            )
        yield found


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    try:
        os.environ.update(values)
        get_settings.cache_clear()
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        get_settings.cache_clear()


def _dataset(settings: Settings, name: str) -> Dataset:
    path = settings.contracts_dir / "bench" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONTRACT.read_text().replace("TABLE", name))
    return load_file(path)


def _exists(settings: Settings) -> bool:
    with psycopg.connect(settings.postgres_dsn("postgres"), autocommit=True) as connection:
        query = "SELECT count(*) FROM pg_database WHERE datname = %s"
        return connection.execute(query, (DATABASE,)).fetchone() == (1,)


def _admin(settings: Settings, statement: str) -> None:
    with psycopg.connect(settings.postgres_dsn("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(DATABASE)))  # type: ignore[arg-type]


def _remove(found: Bank) -> None:
    list(applying.remove(found.settings, found.capture))
    _admin(found.settings, "DROP DATABASE {} WITH (FORCE)")
    for dataset in (found.accounts, found.tellers):
        for name in table_names(dataset):
            with suppress(NoSuchTableError):
                get_catalog().purge_table(name)
        with suppress(KafkaException):  # it was never made
            AdminClient(client_config(found.settings)).delete_topics([dataset.topic])[dataset.topic].result(30)
