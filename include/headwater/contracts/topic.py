"""Kafka: the topic of a stream, created and configured as the platform needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its __init__ does not list what it exports
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from headwater.contracts.model import Dataset
from headwater.errors import RetryableError, TerminalError
from headwater.kafka import client_config
from headwater.settings import Settings

TIMEOUT_SECONDS = 15.0
CONFIG = {
    "cleanup.policy": "delete",
    # A string of 10 MB is data, not a fault; the broker's default of 1 MiB would refuse it at the producer.
    "max.message.bytes": str(16 * 1024 * 1024),
    # A week to notice that bronze stands still.
    "retention.ms": str(7 * 24 * 3600 * 1000),
}
"""Configuration of every topic. The number of partitions is never changed: it would move keys to other partitions."""


def plan_topic(settings: Settings, dataset: Dataset) -> list[str]:
    """What `apply_topic` would do. Raises `RetryableError` where Kafka does not answer."""
    admin = _admin(settings)
    if not _exists(admin, settings, dataset.topic):
        count = settings.kafka_topic_partitions
        return [f"create topic {dataset.topic} with {count} partitions"]
    return [f"{dataset.topic}: set {key} = {value}" for key, value in _to_set(admin, settings, dataset.topic).items()]


def apply_topic(settings: Settings, dataset: Dataset) -> list[str]:
    """Create the topic or bring its configuration up; says what was done, empty where nothing."""
    admin, topic = _admin(settings), dataset.topic
    planned = plan_topic(settings, dataset)
    if not planned:
        return []
    with _answered(settings, topic):
        if not _exists(admin, settings, topic):
            new = NewTopic(topic, settings.kafka_topic_partitions, settings.kafka_replication_factor, config=CONFIG)
            created = admin.create_topics([new], request_timeout=TIMEOUT_SECONDS)[topic]
            if not _lost_race(created):
                return planned
        changed = _to_set(admin, settings, topic)
        entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in changed.items()]
        if entries:
            resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
            admin.incremental_alter_configs([resource])[resource].result(timeout=TIMEOUT_SECONDS)
    return planned


def _lost_race(created: object) -> bool:
    """Wait for the creation; true where somebody else has just created the topic."""
    try:
        created.result(timeout=TIMEOUT_SECONDS)  # type: ignore[attr-defined]
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return True
        raise
    return False


def _admin(settings: Settings) -> AdminClient:
    return AdminClient(dict(client_config(settings, log_level=0)))


def _exists(admin: AdminClient, settings: Settings, topic: str) -> bool:
    with _answered(settings, topic):
        return topic in admin.list_topics(timeout=TIMEOUT_SECONDS).topics


def _to_set(admin: AdminClient, settings: Settings, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    with _answered(settings, topic):
        current = admin.describe_configs([resource])[resource].result(timeout=TIMEOUT_SECONDS)
    return {key: value for key, value in CONFIG.items() if key not in current or current[key].value != value}


@contextmanager
def _answered(settings: Settings, topic: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        fault = error.args[0]
        where = f"{settings.kafka_bootstrap_servers}, topic {topic}"
        if fault.code() in _REFUSALS:
            raise TerminalError(
                f"Kafka refuses: {fault.str()}", where=where, remedy="grant the user rights on it"
            ) from error
        remedy = "see `headwater status`, then `headwater up kafka`"
        raise RetryableError(f"Kafka does not answer: {fault.str()}", where=where, remedy=remedy) from error


_REFUSALS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.POLICY_VIOLATION,
}
