"""Where a stream begins: at the offsets its bronze table names, checked against what the broker still has.

Spark's checkpoint is never asked. A recreated topic or offsets that have expired stop the stream with the exact
offsets that are gone; `headwater stream accept-loss` records that a person accepts it.
"""

from __future__ import annotations

from dataclasses import replace

from headwater.errors import TerminalError
from headwater.streaming.broker import Topic
from headwater.streaming.ledger import Account, Offsets


class OffsetsGone(TerminalError):
    """Offsets that bronze has yet to read are no longer to be had."""


ACCEPT = "`headwater stream accept-loss {dataset}` records the loss and goes on from what is there"


def starting_account(dataset: str, recorded: Account | None, topic: Topic) -> Account:
    """The account from which the stream goes on, with a next offset for every partition the topic has now.

    A topic never read before begins at its first offset still there; a partition that came later begins at 0.
    Raises `OffsetsGone`.
    """
    if recorded is None:
        return Account(topic.topic_id, begin=dict(topic.low), offsets=dict(topic.low))
    if recorded.topic_id != topic.topic_id:
        raise OffsetsGone(
            f"the topic was recreated: bronze was read from topic id {recorded.topic_id} up to "
            f"{_places(recorded.offsets)}, the broker now has topic id {topic.topic_id}; "
            "what the old topic held beyond these offsets is gone",
            where=topic.name,
            remedy=ACCEPT.format(dataset=dataset),
        )
    gone = gone_offsets(recorded, topic)
    if gone:
        ranges = ", ".join(f"partition {p}: offsets {start} to {end - 1}" for p, (start, end) in gone.items())
        raise OffsetsGone(
            f"the broker no longer has offsets that were never read ({ranges})",
            where=topic.name,
            remedy=ACCEPT.format(dataset=dataset),
        )
    offsets = {partition: recorded.offsets.get(partition, 0) for partition in topic.high}
    begin = {partition: recorded.begin.get(partition, 0) for partition in topic.high}
    return replace(recorded, begin=begin, offsets=offsets)


def gone_offsets(recorded: Account, topic: Topic) -> dict[int, tuple[int, int]]:
    """Per partition the offsets [from, to) that were never read and are not there: expired, or cut off the end."""
    gone = {}
    for partition in sorted({*recorded.offsets, *topic.high}):
        next_offset = recorded.offsets.get(partition, 0)
        low, high = topic.low.get(partition, 0), topic.high.get(partition, 0)
        if next_offset < low:
            gone[partition] = (next_offset, low)
        elif next_offset > high:
            gone[partition] = (high, next_offset)
    return gone


def accepted(recorded: Account, topic: Topic) -> Account:
    """The account after a person accepted the loss: it goes on from the first offset that is there.

    Of a recreated topic nobody knows how much is lost beyond the last offset read; its account begins anew.
    """
    if recorded.topic_id != topic.topic_id:
        return Account(topic.topic_id, begin=dict(topic.low), offsets=dict(topic.low))
    lost, offsets = dict(recorded.lost), dict(recorded.offsets)
    for partition, (start, end) in gone_offsets(recorded, topic).items():
        if start == recorded.offsets.get(partition, 0):
            lost[partition] = lost.get(partition, 0) + end - start
            offsets[partition] = end
        else:
            offsets[partition] = start
    return replace(recorded, offsets=offsets, lost=lost, counts={})


def _places(offsets: Offsets) -> str:
    return ", ".join(f"partition {partition}: {offset}" for partition, offset in sorted(offsets.items()))
