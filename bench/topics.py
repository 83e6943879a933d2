"""The topic that the parts share: framed Avro transactions, made at the first need, removed at the end of the run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property

from confluent_kafka.admin import AdminClient, NewTopic

from headwater.contracts.avro import avro_schema
from headwater.contracts.registry import RegistryClient
from headwater.kafka import client_config
from headwater.settings import get_settings
from headwater.sources.events import event_source
from headwater.sources.replay import Replay, ReplayResult, Selection
from headwater.sources.subjects import RegisteredSchema

TIMEOUT_SECONDS = 30.0


@dataclass
class Context:
    """What every part is given: how many rows (`asked`: by whoever runs it), and topics of the benchmark's own."""

    rows: int
    asked: int | None = None
    prefix: str = field(default_factory=lambda: f"bench.{os.getpid()}")
    _topics: list[str] = field(default_factory=list)

    @cached_property
    def schema(self) -> RegisteredSchema:
        """The schema of transactions, registered under the benchmark's own subject."""
        schema = avro_schema(event_source("transactions").dataset)
        with RegistryClient() as registry:
            return RegisteredSchema(registry.register("bench.transactions-value", schema), 1, dict(schema))

    @cached_property
    def transactions_topic(self) -> str:
        """A topic with `rows` transactions in it, 4 partitions, keyed by household."""
        topic = self.new_topic("transactions")
        produce(self, topic)
        return topic

    def new_topic(self, name: str) -> str:
        """An empty topic of the benchmark's own."""
        topic = f"{self.prefix}.{name}.{len(self._topics)}"
        new = NewTopic(topic, get_settings().kafka_topic_partitions, get_settings().kafka_replication_factor)
        self._admin.create_topics([new])[topic].result(TIMEOUT_SECONDS)
        self._topics.append(topic)
        return topic

    def remove_topics(self) -> None:
        """Delete what this run has made."""
        if self._topics:
            for removed in self._admin.delete_topics(self._topics).values():
                removed.result(TIMEOUT_SECONDS)
            self._topics.clear()

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient({**client_config(), "log_level": 0})


def produce(context: Context, topic: str) -> list[ReplayResult]:
    """Send `context.rows` transactions, the year over and over; a result per pass."""
    results: list[ReplayResult] = []
    left = context.rows
    while left > 0:
        plan = Replay("transactions", Selection(limit=left), restart=True, topic=topic, schema=context.schema)
        results.append(plan.run())
        left -= results[-1].sent
    return results
