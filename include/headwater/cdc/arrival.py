"""How far a source's changes have come: in the connector, the topic and silver, and the wait until they are there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

from headwater.cdc.connector import Capture
from headwater.cdc.source import connected
from headwater.cdc.worker import Worker
from headwater.contracts.model import Dataset
from headwater.errors import RetryableError, TerminalError
from headwater.lake.catalog import get_catalog
from headwater.lake.snapshots import INPUT_OFFSETS_PREFIX, nearest_properties
from headwater.settings import Settings
from headwater.streaming.broker import Broker

POLL_SECONDS = 0.5


def await_topic(settings: Settings, capture: Capture, lsn: str, deadline: float) -> None:
    """Until the connector has put all into the topics that the source's log has up to `lsn`.

    A slot that was just made confirms the log up to its own beginning, before a row of the first snapshot was sent.
    """
    until(lambda: _streams(settings, capture), deadline, "the connector has yet to end its first snapshot")
    until(lambda: _confirmed(settings, capture, lsn), deadline, f"the connector has yet to confirm the log up to {lsn}")


def await_silver(settings: Settings, capture: Capture, dataset: Dataset, lsn: str, deadline: float) -> None:
    """Until silver holds what the source's log has up to `lsn`. Raises `RetryableError` that says who is behind."""
    await_topic(settings, capture, lsn, deadline)
    topic = Broker(settings).topic(dataset.topic)
    wanted = f"silver has yet to read {dataset.topic} up to {dict(topic.high)}"
    until(lambda: _silver_has(dataset, topic.topic_id, topic.high), deadline, wanted)


def until(condition: Callable[[], bool], deadline: float, what: str) -> None:
    """Ask again and again. Raises `RetryableError` with `what` after the deadline."""
    while not condition():
        if time.monotonic() >= deadline:
            remedy = (
                "see `headwater cdc status` and `headwater ledger`; silver is built every 15 minutes; --wait longer"
            )
            raise RetryableError(f"not in time: {what}", remedy=remedy)
        time.sleep(POLL_SECONDS)


def _streams(settings: Settings, capture: Capture) -> bool:
    """Whether the connector's stored position is one of the log, no longer one of its first snapshot."""
    with Worker(settings) as worker:
        offsets = worker.offsets(capture.connector)
    return bool(offsets) and not any(offset.get("snapshot") for offset in offsets)


def _confirmed(settings: Settings, capture: Capture, lsn: str) -> bool:
    query = "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
    with connected(settings, capture.database) as connection:
        row = connection.execute(query, (lsn, capture.slot)).fetchone()
    if row is None:
        raise TerminalError(
            f"the source has no replication slot {capture.slot}: nothing is captured",
            where=capture.database,
            remedy="`headwater cdc apply`; or compare what is there with --wait 0",
        )
    return bool(row[0])


def _silver_has(dataset: Dataset, topic_id: str, ends: Mapping[int, int]) -> bool:
    key = f"{INPUT_OFFSETS_PREFIX}bronze.{dataset.name}"
    told = nearest_properties(get_catalog().load_table(f"silver.{dataset.name}"), key).get(key)
    position = json.loads(told) if told else {"topic_id": None, "offsets": {}}
    read = {int(partition): offset for partition, offset in position["offsets"].items()}
    empty = not any(ends.values())
    return empty or (
        position["topic_id"] == topic_id and all(read.get(partition, 0) >= end for partition, end in ends.items())
    )
