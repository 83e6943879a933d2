"""Change events as Debezium's Postgres connector writes them, made by hand, and a stream that reads them.

The schemas are those that connector 3.7.0 and Apicurio's converter register (decimals as text, times in microseconds).
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import Producer
from tests.streams import LONGEST_MESSAGE, StreamCase

from headwater.contracts.loader import load_dataset
from headwater.contracts.registry import RegistryClient
from headwater.kafka import client_config
from headwater.settings import Settings

DATASETS = Path(__file__).parent / "datasets"
DATE = {"type": "int", "connect.version": 1, "connect.name": "io.debezium.time.Date"}
MICROS = {"type": "long", "connect.version": 1, "connect.name": "io.debezium.time.MicroTimestamp"}
COLUMNS: dict[str, Any] = {
    "account_id": "long",
    "owner_name": "string",
    "balance": ["null", "string"],
    "opened_on": ["null", DATE],
    "changed_at": ["null", MICROS],
}
"""The columns of `accounts` in the source."""
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def envelope_schema(columns: Mapping[str, Any] = COLUMNS, table: str = "bank.accounts") -> dict[str, Any]:
    """The value's schema: the row is defined in `before`, and named in `after`."""
    name = f"source.{table}"
    fields = [{"name": n, "type": t, **({"default": None} if isinstance(t, list) else {})} for n, t in columns.items()]
    row = {"type": "record", "name": "Value", "namespace": name, "fields": fields, "connect.name": f"{name}.Value"}
    source = [
        *({"name": n, "type": "string"} for n in ("version", "connector", "name")),
        {"name": "ts_ms", "type": "long"},
        {"name": "snapshot", "type": ["string", "null"], "default": "false"},
        {"name": "db", "type": "string"},
        {"name": "sequence", "type": ["null", "string"], "default": None},
        *({"name": n, "type": ["null", "long"], "default": None} for n in ("ts_us", "ts_ns")),
        *({"name": n, "type": "string"} for n in ("schema", "table")),
        *({"name": n, "type": ["null", "long"], "default": None} for n in ("txId", "lsn", "xmin")),
    ]
    return {
        "type": "record",
        "name": "Envelope",
        "namespace": name,
        "connect.name": f"{name}.Envelope",
        "fields": [
            {"name": "before", "type": ["null", row], "default": None},
            {"name": "after", "type": ["null", "Value"], "default": None},
            {
                "name": "source",
                "type": {
                    "type": "record",
                    "name": "Source",
                    "namespace": "io.debezium.connector.postgresql",
                    "fields": source,
                },
            },
            {"name": "transaction", "type": ["null", "string"], "default": None},
            {"name": "op", "type": "string"},
            *({"name": n, "type": ["null", "long"], "default": None} for n in ("ts_ms", "ts_us", "ts_ns")),
        ],
    }


def change(
    op: str, row: Mapping[str, Any] | None = None, *, lsn: int, prior: int | None = None, **other: Any
) -> dict[str, Any]:
    """One envelope. `row` is what was deleted, or what is there now; it was committed `lsn` seconds after `START`."""
    micros = int(START.timestamp() + lsn) * 1_000_000
    source = {
        "version": "3.7.0.Final",
        "connector": "postgresql",
        "name": "source",
        "db": "source",
        "ts_ms": micros // 1000,
        "ts_us": micros,
        "schema": "bank",
        "table": "accounts",
        "txId": 700 + lsn,
        "lsn": lsn,
        "snapshot": "incremental" if op == "r" else "false",
        "sequence": f'[{"null" if prior is None else chr(34) + str(prior) + chr(34)},"{lsn}"]',
    }
    sides = {"before": row, "after": None} if op == "d" else {"before": None, "after": row}
    return {**sides, "source": source, "transaction": None, "op": op, "ts_ms": micros // 1000, **other}


def account(number: int, owner: str = "Ada", balance: str | None = "10.00", **more: Any) -> dict[str, Any]:
    """A row of the source."""
    return {
        "account_id": number,
        "owner_name": owner,
        "balance": balance,
        "opened_on": None,
        "changed_at": None,
        **more,
    }


@dataclass
class ChangeCase(StreamCase):
    """A captured dataset whose topic is written by the test."""

    def __post_init__(self) -> None:
        from confluent_kafka.admin import AdminClient

        self.admin = AdminClient(client_config(self.settings))
        self.create_topic()
        self.use(envelope_schema())

    def use(self, schema: dict[str, Any]) -> None:
        """Write with this schema from here on."""
        self.schema = schema
        self.schema_id = self.registry.register(self.dataset.subject, schema)

    def send(self, *changes: Mapping[str, Any] | None, partition: int = 0) -> None:
        """Changes in this order; None is a tombstone."""
        values = [None if one is None else self.value(one) for one in changes]
        producer = Producer(client_config(self.settings, message_max_bytes=LONGEST_MESSAGE))
        for value in values:
            producer.produce(self.dataset.topic, key=b"key", value=value, partition=partition)
        assert producer.flush(30) == 0

    def value(self, one: Mapping[str, Any]) -> bytes:
        """The change, framed."""
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, self.schema, dict(one))
        return b"\0" + self.schema_id.to_bytes(4, "big") + buffer.getvalue()

    def rows(self, *columns: str) -> list[Sequence[Any]]:
        """Rows of bronze in the order of the log, as tuples."""
        return [tuple(row[name] for name in columns) for row in self.bronze(*columns)]


def change_case(settings: Settings, like: str = "accounts") -> ChangeCase:
    """A captured dataset under a name, and so a topic, of its own."""
    original = load_dataset(DATASETS / like / f"{like}.yaml")
    dataset = replace(original, name=f"{original.name}_{uuid.uuid4().hex[:10]}")
    return ChangeCase(settings, dataset, RegistryClient(settings))
