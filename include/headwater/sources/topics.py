"""What a topic already holds: the watermarks, its records, and the ids of its events.

The topic itself is the record of how far a replay has come; there is no state file that could disagree with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from headwater.errors import RetryableError, TerminalError
from headwater.kafka import client_config
from headwater.sources.avro_encoder import MAGIC_BYTE

TIMEOUT_SECONDS = 30.0
_BATCH = 10_000
_HEADER_BYTES = 5


@contextmanager
def _consumer() -> Iterator[Consumer]:
    config = client_config(
        group_id="headwater-read-back",  # needed by the library; nothing is committed
        enable_auto_commit=False,
        queued_min_messages=1_000_000,
        fetch_queue_backoff_ms=10,
    )
    consumer = Consumer(config)
    try:
        yield consumer
    finally:
        consumer.close()


def partitions(topic: str) -> list[int]:
    """Partition numbers. Raises `TerminalError` for a missing topic, `RetryableError` where Kafka does not answer."""
    config = client_config()
    try:
        # All topics, not this one: asking for one that is missing may create it.
        metadata = AdminClient({**config, "log_level": 0}).list_topics(timeout=TIMEOUT_SECONDS)
    except KafkaException as error:
        raise RetryableError(
            f"Kafka does not answer: {error.args[0].str()}",
            where=str(config["bootstrap.servers"]),
            remedy="see `headwater status`, then `headwater up kafka`",
        ) from error
    if topic not in metadata.topics:
        raise TerminalError(f"topic '{topic}' does not exist", remedy="create it with `headwater contract apply`")
    return sorted(metadata.topics[topic].partitions)


def records(topic: str) -> Iterator[Message]:
    """Every record the topic holds at the time of the call, in the order of each partition."""
    numbers = partitions(topic)
    with _consumer() as consumer:
        ends: dict[int, int] = {}
        for number in numbers:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=TIMEOUT_SECONDS)
            if high > low:
                ends[number] = high
        # From the beginning, not from `low`: retention may move it between the two calls.
        consumer.assign([TopicPartition(topic, number, _EARLIEST) for number in ends])
        while ends:
            batch = consumer.consume(_BATCH, timeout=TIMEOUT_SECONDS)
            if not batch:
                raise RetryableError(f"nothing came for {TIMEOUT_SECONDS:.0f} s", where=f"topic {topic}")
            for message in batch:
                yield from _unfinished(message, ends)


_EARLIEST = -2


def _unfinished(message: Message, ends: dict[int, int]) -> Iterator[Message]:
    """The message, unless it came after the end that was seen at the start; closes partitions that are through."""
    if error := message.error():
        raise RetryableError(f"reading failed: {error.str()}", where=f"topic {message.topic()}")
    number, offset = message.partition(), message.offset()
    if number is None or offset is None:
        raise RetryableError("a record without a place", where=f"topic {message.topic()}")
    end = ends.get(number, 0)
    if offset < end:
        yield message
    if offset >= end - 1:
        ends.pop(number, None)


def event_ids(topic: str) -> set[str]:
    """Ids of the events in the topic: the first field of every envelope, read without decoding the rest.

    Records that are no such event (wrong magic byte, cut off) are passed over. 700,000 records a second.
    """
    found: set[str] = set()
    for message in records(topic):
        if event_id := event_id_of(message.value()):
            found.add(event_id)
    return found


def event_id_of(value: bytes | str | None) -> str | None:
    """The event id of a framed record; None for what is no event."""
    if not isinstance(value, bytes) or len(value) <= _HEADER_BYTES or value[0] != MAGIC_BYTE:
        return None
    # A string is its length as zigzag varint (one byte below 64, two below 8192), then the text.
    first = value[_HEADER_BYTES]
    at, length = _HEADER_BYTES + 1, first >> 1
    if first & 0x80 and len(value) > at:
        length = ((first & 0x7F) | (value[at] << 7)) >> 1
        at += 1
    text = value[at : at + length]
    try:
        return text.decode() if len(text) == length else None
    except UnicodeDecodeError:
        return None
