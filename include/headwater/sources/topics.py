"""What a topic already holds: the watermarks, its records, and the ids of its events.

The topic itself is the record of how far a replay has come; there is no state file that could disagree with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from headwater.errors import RetryableError, TerminalError
from headwater.kafka import client_config
from headwater.sources.avro_encoder import MAGIC_BYTE

TIMEOUT_SECONDS = 30.0
_BATCH = 10_000
_PATIENCE_SECONDS = 0.2
_HEADER_BYTES = 5


@contextmanager
def _consumer() -> Iterator[Consumer]:
    config = client_config(
        group_id="headwater-read-back",  # needed by the library; nothing is committed
        enable_auto_commit=False,
        queued_min_messages=1_000_000,
        fetch_queue_backoff_ms=10,
        # The last offset may be a transaction's marker, which is never handed out.
        enable_partition_eof=True,
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
        expected = 0
        for number in numbers:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=TIMEOUT_SECONDS)
            if high > low:
                ends[number] = high
                expected += high - low
        # From the beginning, not from `low`: retention may move it between the two calls.
        consumer.assign([TopicPartition(topic, number, _EARLIEST) for number in ends])
        heard = time.monotonic()
        while ends:
            # `consume` waits until it has as many as it was asked for: no more than there are, and not for long, as
            # there may be fewer (compaction, markers of transactions).
            batch = consumer.consume(min(_BATCH, max(1, expected)), timeout=_PATIENCE_SECONDS)
            expected -= len(batch)
            if batch:
                heard = time.monotonic()
            elif time.monotonic() - heard > TIMEOUT_SECONDS:
                raise RetryableError(f"nothing came for {TIMEOUT_SECONDS:.0f} s", where=f"topic {topic}")
            for message in batch:
                yield from _unfinished(message, ends)


_EARLIEST = -2


def _unfinished(message: Message, ends: dict[int, int]) -> Iterator[Message]:
    """The message, unless it came after the end that was seen at the start; closes partitions that are through."""
    error = message.error()
    at_end = error is not None and error.code() == KafkaError._PARTITION_EOF
    if error is not None and not at_end:
        raise RetryableError(f"reading failed: {error.str()}", where=f"topic {message.topic()}")
    number, offset = message.partition(), message.offset()
    if number is None or offset is None:
        raise RetryableError("a record without a place", where=f"topic {message.topic()}")
    end = ends.get(number, 0)
    if not at_end and offset < end:
        yield message
    # The end of a partition is told with the offset behind it, and also at a transaction that is still open.
    if offset >= (end if at_end else end - 1):
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
