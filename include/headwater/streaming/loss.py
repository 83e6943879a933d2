"""A person accepts that offsets are gone: recorded in bronze's account, so that the ledger shows them ever after."""

from __future__ import annotations

from collections.abc import Callable

from headwater.contracts.model import Dataset
from headwater.errors import TerminalError
from headwater.lake.catalog import get_catalog
from headwater.settings import get_settings
from headwater.streaming.accounting import streams
from headwater.streaming.broker import Broker
from headwater.streaming.gaps import commit_account
from headwater.streaming.lease_rows import read_rows
from headwater.streaming.ledger import nearest_account, to_json
from headwater.streaming.positions import accepted, gone_offsets


def accept(name: str, confirm: Callable[[str], bool]) -> str:
    """Go on from the first offset the broker still has; says what was done.

    The stream must not be running (it has stopped by itself when this is needed). `confirm` is asked first.
    """
    return accept_for(streams([name])[0], confirm)


def accept_for(dataset: Dataset, confirm: Callable[[str], bool]) -> str:
    """The same for a dataset at hand. Raises `TerminalError` where the stream is being read."""
    settings = get_settings()
    row = read_rows(settings, [dataset.name])[dataset.name]
    if row.alive:
        raise TerminalError(
            f"the stream is being read by {row.holder}, so nothing it needs is gone",
            where=dataset.name,
            remedy=f"`headwater stream stop {dataset.name}` first, if it is to begin elsewhere",
        )
    topic = Broker(settings).topic(dataset.topic)
    table = get_catalog().load_table(f"bronze.{dataset.name}")
    recorded = nearest_account(table)
    if recorded is None:
        return "nothing was ever read, so nothing can be lost"
    gone = gone_offsets(recorded, topic)
    if recorded.topic_id != topic.topic_id:
        question = f"{topic.name} was recreated; go on with the new topic from {to_json(topic.low)}?"
    elif gone:
        question = f"accept as lost in {topic.name}: " + ", ".join(f"{p}: {a} to {b - 1}" for p, (a, b) in gone.items())
    else:
        return "nothing is lost: the broker has every offset that was not yet read"
    if not confirm(question):
        return "nothing was changed"
    after = accepted(recorded, topic)
    commit_account(table, after)
    return f"recorded; `headwater stream start {dataset.name}` goes on from {to_json(after.offsets)}"
