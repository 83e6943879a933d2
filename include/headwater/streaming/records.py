"""Looks at single places of a topic: where is the first committed record from an offset on?

One consumer answers many such questions. Questions about one partition are asked in ascending order; what lies between
two of them is read over where it is near and jumped over where it is far, so that neither twenty thousand transaction
markers nor one hole in a batch of millions are dear.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headwater.kafka import client_config
from headwater.settings import Settings
from headwater.streaming.broker import TIMEOUT_SECONDS, BrokerUnavailable, answered

FAR = 5_000
"""Offsets that are jumped over rather than read: a jump costs a fetch, about as long as reading so many records."""


class CommittedRecords:
    """Where a topic has committed records. A context manager: it holds one consumer, which never commits an offset."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._topic = topic
        self._consumer = Consumer(
            client_config(
                settings,
                group_id="headwater-gaps",
                enable_auto_commit=False,
                isolation_level="read_committed",
                enable_partition_eof=True,
                log_level=0,
            )
        )
        self._partition: int | None = None
        self._found = -1
        """Offset of the record last seen; every committed record between the last jump and it has been seen."""
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def first_at_or_after(self, partition: int, offset: int) -> int | None:
        """Offset of the first committed record from `offset` on; None where there is none up to the end.

        Within a partition `offset` must not be smaller than that of the question before. Raises `BrokerUnavailable`.
        """
        with answered(self._topic):
            if partition != self._partition or (not self._ended and offset - self._found > FAR):
                self._jump(partition, offset)
            while self._found < offset and not self._ended:
                self._read(offset)
        return None if self._found < offset else self._found

    def _jump(self, partition: int, offset: int) -> None:
        self._consumer.assign([TopicPartition(self._topic, partition, offset)])
        self._partition, self._found, self._ended = partition, -1, False

    def _read(self, offset: int) -> None:
        message: Message | None = self._consumer.poll(TIMEOUT_SECONDS)
        if message is None:
            where = f"{self._topic}-{self._partition}@{offset}"
            raise BrokerUnavailable(f"no record within {TIMEOUT_SECONDS:.0f} s", where=where)
        error = message.error()
        if error is None:
            found = message.offset()
            assert found is not None  # noqa: S101  (a record that was delivered has one)
            self._found = found
        elif error.code() == KafkaError._PARTITION_EOF:
            self._ended = True
        else:
            raise KafkaException(error)
