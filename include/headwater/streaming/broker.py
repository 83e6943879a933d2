"""What the stream asks of the broker outside Spark: the topic's identity and which offsets it still has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from headwater.errors import RetryableError
from headwater.kafka import client_config, java_security
from headwater.settings import Settings

TIMEOUT_SECONDS = 10.0
SEE_BROKER = "see `headwater status`; `headwater up kafka` starts the embedded one"


class BrokerUnavailable(RetryableError):
    """The broker did not answer."""


class TopicMissing(RetryableError):
    """The broker has no such topic: a contract is there, and nobody has applied it yet."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the broker has it now: offsets [low, high) of each partition are there to be read."""

    name: str
    topic_id: str
    low: dict[int, int]
    high: dict[int, int]


class Broker:
    """Answers about topics. Raises `BrokerUnavailable` where there is no answer in time, `TopicMissing`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._admin = AdminClient({**client_config(settings, socket_timeout_ms=10_000), "log_level": 0})

    def topic_id(self, topic: str) -> str:
        """The id the broker gave the topic when it was created: another one means another topic of that name."""
        return self._describe(topic)[0]

    def _describe(self, topic: str) -> tuple[str, list[int]]:
        with answered(topic):
            futures = self._admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_SECONDS)
            description = futures[topic].result()
        return str(description.topic_id), sorted(partition.id for partition in description.partitions)

    def topic(self, name: str) -> Topic:
        """The topic with the offsets it has now; `high` is the last stable offset (what read_committed sees)."""
        topic_id, partitions = self._describe(name)
        low = self._offsets(name, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        return Topic(name, topic_id, low, self.ends(name, partitions))

    def ends(self, name: str, partitions: list[int] | None = None) -> dict[int, int]:
        """The last stable offset of each partition."""
        known = self._describe(name)[1] if partitions is None else partitions
        return self._offsets(name, known, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def _offsets(self, name: str, partitions: list[int], spec: OffsetSpec) -> dict[int, int]:
        asked = {TopicPartition(name, partition): spec for partition in partitions}
        with answered(name):
            futures = self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=TIMEOUT_SECONDS
            )
            return {place.partition: future.result().offset for place, future in futures.items()}


@contextmanager
def answered(topic: str) -> Iterator[None]:
    """Turn what the client raises into `BrokerUnavailable` or `TopicMissing`."""
    try:
        yield
    except KafkaException as error:
        fault = error.args[0]
        if fault.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise TopicMissing(
                "the broker has no such topic", where=topic, remedy="`headwater contract apply` creates it"
            ) from error
        raise BrokerUnavailable(f"the broker did not answer: {fault.str()}", where=topic, remedy=SEE_BROKER) from error


def spark_kafka_options(settings: Settings) -> dict[str, str]:
    """Options of Spark's Kafka source for the same broker: address, TLS and SASL in Java's names."""
    return {
        "kafka.bootstrap.servers": settings.kafka_bootstrap_servers,
        **{f"kafka.{name}": value for name, value in java_security(settings).items()},
        "kafka.isolation.level": "read_committed",
    }
