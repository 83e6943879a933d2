"""A source database whose changes are captured, and the messages that come of it, on the shared stack."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import psycopg
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg import sql

from headwater.cdc import applying
from headwater.cdc.connector import Capture
from headwater.cdc.source import connected
from headwater.contracts.loader import load_file
from headwater.contracts.model import Dataset
from headwater.contracts.registry import RegistryClient
from headwater.kafka import client_config
from headwater.settings import Settings

ACCOUNTS = Path(__file__).parent / "datasets" / "accounts" / "accounts.yaml"
DDL = """
CREATE SCHEMA bank;
CREATE TABLE bank.accounts (
  account_id bigint PRIMARY KEY, owner_name text NOT NULL, balance numeric(12,2), opened_on date, changed_at timestamp
);
INSERT INTO bank.accounts VALUES (1, 'Ada', 10.50, '2020-01-02', '2020-01-02 03:04:05.678901'),
                                 (2, 'Bob', NULL, NULL, NULL), (3, 'Cyd 𝒳', -5, '1969-12-31', '1969-12-31 23:59:59');
"""
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Message:
    """One record of a topic: key and value decoded, None for a tombstone's value or a truncate's key."""

    partition: int
    offset: int
    schema_id: int | None
    key: dict[str, Any] | None
    value: dict[str, Any] | None

    @property
    def op(self) -> str:
        """Debezium's letter, or `tombstone`."""
        return self.value["op"] if self.value else "tombstone"


class ChangeReader:
    """Reads a topic of changes from its beginning, and goes on where it stopped."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self._settings = settings
        config = client_config(settings, group_id="tests-cdc", enable_auto_commit=False)
        self._consumer = Consumer({**config, "auto.offset.reset": "earliest"})
        partitions = AdminClient(client_config(settings)).list_topics(topic, timeout=10).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        self._schemas: dict[int, Any] = {}

    def close(self) -> None:
        self._consumer.close()

    def until(self, done: Callable[[list[Message]], bool], seconds: float = SECONDS) -> list[Message]:
        """Messages from here on until `done` says so of them; fails with what came when the time is over."""
        found: list[Message] = []
        deadline = time.monotonic() + seconds
        while not done(found):
            assert time.monotonic() < deadline, f"after {seconds:.0f} s only {[(m.op, m.key) for m in found]}"
            message = self._consumer.poll(0.2)
            if message is not None:
                assert message.error() is None, message.error()
                found.append(self._decoded(message))
        return found

    def take(self, count: int) -> list[Message]:
        """The next so many messages."""
        return self.until(lambda found: len(found) >= count)

    def _decoded(self, message: Any) -> Message:
        key, value = message.key(), message.value()
        return Message(
            message.partition(),
            message.offset(),
            int.from_bytes(value[1:5], "big") if value else None,
            self._record(key),
            self._record(value),
        )

    def _record(self, data: bytes | None) -> Any:
        if data is None:
            return None
        assert data[0] == 0
        schema_id = int.from_bytes(data[1:5], "big")
        if schema_id not in self._schemas:
            with RegistryClient(self._settings) as registry:
                for side in ("key", "value"):
                    self._schemas |= registry.ids(f"{self.topic}-{side}")
        return fastavro.schemaless_reader(io.BytesIO(data[5:]), self._schemas[schema_id], None)


@dataclass
class CapturedDatabase:
    """A database of its own in the shared Postgres, and what is captured of it."""

    settings: Settings
    dataset: Dataset

    @property
    def capture(self) -> Capture:
        return Capture(self.settings.postgres_source_database, (self.dataset,))

    def execute(self, *statements: str) -> None:
        """Statements in one transaction."""
        with connected(self.settings, self.capture.database) as connection, connection.transaction():
            for statement in statements:
                connection.execute(statement)

    def one(self, query: str, *values: Any) -> Any:
        with connected(self.settings, self.capture.database) as connection:
            return connection.execute(query, values or None).fetchone()[0]

    def apply(self) -> list[applying.Change]:
        return list(applying.apply(self.settings, self.capture))


@contextmanager
def captured_database(settings: Settings, ddl: str = DDL, contract: Path = ACCOUNTS) -> Iterator[CapturedDatabase]:
    """Make the database that `settings` names as the source and its table; all of it is removed afterwards."""
    name = settings.postgres_source_database
    admin = settings.postgres_dsn("postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    found = CapturedDatabase(settings, load_file(contract))
    try:
        found.execute(ddl)
        yield found
    finally:
        list(applying.remove(settings, found.capture))
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        client = AdminClient(client_config(settings))  # by name: what it promises is lost with it
        client.delete_topics([found.dataset.topic])[found.dataset.topic].result(30)
