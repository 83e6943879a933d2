"""The connector of a source database, as its contracts ask for it: one for all captured tables.

One connector means one replication slot, so that a transaction over several tables has one order, and the database
decodes its log once. Everything here is made of contracts and settings alone, so that it can be compared with what
the worker has; the password is a reference that only the worker resolves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headwater.contracts.model import Contracts, Dataset
from headwater.errors import ConfigurationError, ContractError
from headwater.settings import Settings

SCHEMA = "headwater_cdc"
SIGNALS = f"{SCHEMA}.debezium_signal"
HEARTBEAT = f"{SCHEMA}.heartbeat"
HEARTBEAT_SECONDS = 5
PLUGIN = "io.debezium.connector.postgresql.PostgresConnector"
CONVERTER = "io.apicurio.registry.utils.converter.AvroConverter"
HOW_TO_ASK = "the contract of a table asks for it with a server of type kafka beside that of type postgres"
UNAVAILABLE = "__debezium_unavailable_value"
"""Stands for a long value that a change did not touch and the log therefore lacks."""
FIXED = {
    "connector.class": PLUGIN,
    "tasks.max": "1",
    "plugin.name": "pgoutput",
    # The publication is made by `cdc apply`, with the tables of the contracts and no other.
    "publication.autocreate.mode": "disabled",
    # Reads every table once, when there is no position yet. A position that the log no longer has is an error that
    # somebody must see, and not a reason to read anew: rows that were deleted meanwhile would stay for ever.
    "snapshot.mode": "initial",
    "snapshot.fetch.size": "10000",
    "signal.enabled.channels": "source",
    "signal.data.collection": SIGNALS,
    "incremental.snapshot.chunk.size": "8192",
    "incremental.snapshot.watermarking.strategy": "insert_delete",
    "notification.enabled.channels": "sink",
    # A slot that hears nothing of its tables would keep the log of all the others.
    "heartbeat.interval.ms": str(HEARTBEAT_SECONDS * 1000),
    "tombstones.on.delete": "true",
    # By default truncates are left out.
    "skipped.operations": "none",
    "provide.transaction.metadata": "false",
    "extended.headers.enabled": "false",
    # Text keeps what Avro's decimals cannot: NaN, and a precision that an ALTER changes.
    "decimal.handling.mode": "string",
    "time.precision.mode": "microseconds",
    "interval.handling.mode": "string",
    "hstore.handling.mode": "json",
    "binary.handling.mode": "bytes",
    "unavailable.value.placeholder": UNAVAILABLE,
    "schema.name.adjustment.mode": "avro",
    "field.name.adjustment.mode": "avro",
    "max.batch.size": "8192",
    "max.queue.size": "32768",
    "max.queue.size.in.bytes": str(64 * 1024 * 1024),
    "poll.interval.ms": "100",
    "errors.tolerance": "none",
    # By default a value that cannot be converted becomes null with a warning.
    "event.converting.failure.handling.mode": "fail",
    "errors.log.enable": "true",
    "errors.log.include.messages": "false",
    "producer.override.compression.type": "lz4",
    "producer.override.max.request.size": str(16 * 1024 * 1024),
    "producer.override.batch.size": str(128 * 1024),
    # The topics of the datasets are there; these are the heartbeat's and the notifications'.
    "topic.creation.default.partitions": "1",
    "topic.creation.default.cleanup.policy": "delete",
    "topic.creation.default.retention.ms": str(7 * 24 * 3600 * 1000),
}
"""What does not depend on contracts or settings."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What is captured of one database; `reader`: the connector's own user, where that is not the platform's.

    Raises `ContractError` where two datasets read one table.
    """

    database: str
    datasets: tuple[Dataset, ...]
    reader: str = ""

    def __post_init__(self) -> None:
        tables = [dataset.source_name for dataset in self.datasets]
        for dataset in self.datasets:
            if tables.count(dataset.source_name) > 1:
                raise ContractError(
                    f"table {dataset.source_name} is captured by two datasets",
                    where=str(dataset.path),
                    remedy="a table goes into one topic: take the server of type kafka away from one of them",
                )

    @property
    def connector(self) -> str:
        """Name of the connector."""
        return f"headwater-{self.database}"

    @property
    def prefix(self) -> str:
        """First part of Avro names and of the connector's own topics; letters, digits and underscores."""
        return re.sub(r"\W", "_", self.database)

    @property
    def slot(self) -> str:
        """Name of the replication slot, and of the publication; Postgres allows lower case in it."""
        return f"headwater_{self.prefix.lower()}"

    @property
    def notifications(self) -> str:
        """Topic in which the connector tells of its snapshots."""
        return f"headwater-cdc.{self.prefix}.notifications"

    @property
    def tables(self) -> tuple[str, ...]:
        """`schema.table` of each dataset, in the datasets' order."""
        return tuple(dataset.source_name for dataset in self.datasets)


def capture_of(settings: Settings, contracts: Contracts, names: Iterable[str] = ()) -> Capture:
    """What is captured of the source database, by name; with `names`, only these datasets of it.

    Raises `ContractError` for a dataset that is not captured.
    """
    captured = {name: one for name, one in sorted(contracts.datasets.items()) if one.captured}
    wanted = set(names)
    for name in sorted(wanted - set(captured)):
        contracts.get(name)
        known = ", ".join(captured) or "none"
        remedy = f"captured are: {known}; {HOW_TO_ASK}"
        raise ContractError(f"changes of dataset '{name}' are not captured", remedy=remedy)
    chosen = tuple(one for name, one in captured.items() if not wanted or name in wanted)
    return Capture(settings.postgres_source_database, chosen, settings.capture_user)


def connector_config(settings: Settings, capture: Capture) -> dict[str, str]:
    """The connector's configuration, as the worker's REST takes it. Holds no secret."""
    return {
        **FIXED,
        "database.hostname": settings.postgres_host,
        "database.port": str(settings.postgres_port),
        "database.user": capture.reader or settings.postgres_user,
        "database.password": f"${{env:HEADWATER_{'CAPTURE' if capture.reader else 'POSTGRES'}_PASSWORD}}",
        "database.dbname": capture.database,
        "topic.prefix": capture.prefix,
        "slot.name": capture.slot,
        "publication.name": capture.slot,
        "table.include.list": ",".join(_regex(table) for table in capture.tables),
        "message.key.columns": ";".join(f"{_regex(d.source_name)}:{','.join(source_key(d))}" for d in capture.datasets),
        "heartbeat.action.query": heartbeat_query(capture),
        "notification.sink.topic.name": capture.notifications,
        "topic.creation.default.replication.factor": str(settings.kafka_replication_factor),
        **converter(settings, "key"),
        **converter(settings, "value"),
        **_routes(capture),
    }


def source_key(dataset: Dataset) -> tuple[str, ...]:
    """The key columns, as the source calls them."""
    return tuple(column.source_name or column.name for column in dataset.columns if column.primary_key)


def heartbeat_query(capture: Capture) -> str:
    """The change that the connector makes in the source at every heartbeat, and reads from the log."""
    return (
        f"INSERT INTO headwater_cdc.heartbeat (slot, at) VALUES ('{capture.slot}', now()) "  # noqa: S608  # its own name
        "ON CONFLICT (slot) DO UPDATE SET at = excluded.at"
    )


def captured_tables(config: Mapping[str, str]) -> tuple[str, ...]:
    """The tables that a connector's configuration includes."""
    return tuple(re.sub(r"\\(.)", r"\1", one) for one in config.get("table.include.list", "").split(",") if one)


def _regex(table: str) -> str:
    return table.replace(".", r"\.")


def _routes(capture: Capture) -> dict[str, str]:
    """One route for each table into the topic of its dataset: Debezium names topics `<prefix>.<schema>.<table>`."""
    names = [f"route_{dataset.name}" for dataset in capture.datasets]
    routes = {"transforms": ",".join(names)} if names else {}
    for name, dataset in zip(names, capture.datasets, strict=True):
        routes[f"transforms.{name}.type"] = "org.apache.kafka.connect.transforms.RegexRouter"
        routes[f"transforms.{name}.regex"] = _regex(f"{capture.prefix}.{dataset.source_name}")
        routes[f"transforms.{name}.replacement"] = dataset.topic
    return routes


def converter(settings: Settings, side: str) -> dict[str, str]:
    """Confluent-framed Avro by the registry that the platform uses, for the `key` or the `value` of a record."""
    options = {
        "apicurio.registry.url": _registry_url(settings),
        "apicurio.registry.auto-register": "true",
        "apicurio.registry.find-latest": "false",
        "apicurio.registry.as-confluent": "true",
        "apicurio.registry.headers.enabled": "false",
        # A schema that refers to others keeps its text when only they change, and the converter goes by the text:
        # after an ALTER it would write rows of the new table with the old schema.
        "apicurio.registry.dereference-schema": "true",
        "apicurio.registry.cache-latest": "false",
        # A schema never changes; while the registry is away those that are known go on being used.
        "apicurio.registry.check-period-ms": "3600000",
        "apicurio.registry.fault-tolerant-refresh": "true",
    }
    if settings.registry_username:
        options["apicurio.registry.auth.username"] = settings.registry_username
        options["apicurio.registry.auth.password"] = "${env:HEADWATER_REGISTRY_PASSWORD}"
    named = {f"{side}.converter.{name}": value for name, value in options.items()}
    return {f"{side}.converter": CONVERTER, **named}


def _registry_url(settings: Settings) -> str:
    """The registry's own API, beside Confluent's that everybody else here speaks."""
    base, found, _ = settings.registry_url.partition("/apis/ccompat/")
    if not found:
        raise ConfigurationError(
            "change data capture writes Avro with Apicurio's converter, which needs an Apicurio registry",
            where=f"HEADWATER_REGISTRY_URL={settings.registry_url}",
            remedy="point it to the path /apis/ccompat/v7 of one",
        )
    return f"{base}/apis/registry/v3"


def as_text(config: Mapping[str, str]) -> str:
    """The configuration as sorted JSON, for a person or a golden file."""
    return json.dumps(dict(sorted(config.items())), indent=2) + "\n"
