"""Which offsets of which topic are where: read, quarantined, empty, lost and accepted, or unaccounted.

Bronze's own account beside what the broker has now; nothing here is kept anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

from headwater.contracts.layers import ATTEMPT, ERROR, OFFSET, PARTITION, TOPIC_ID
from headwater.contracts.loader import load_contracts
from headwater.contracts.model import STREAMED, Dataset
from headwater.lake.catalog import get_catalog
from headwater.settings import get_settings
from headwater.streaming.broker import Broker, Topic
from headwater.streaming.ledger import Account, nearest_account
from headwater.streaming.positions import gone_offsets


@dataclass(frozen=True, slots=True)
class PartitionLine:
    """One partition. Of the offsets [begin, end): `read` + `quarantined` + `empty` + `lost` + `unaccounted`.

    `next` is where the stream goes on; `end` is the broker's; `unaccounted` are those nobody has read (the stream has
    yet to come to them) and those that were covered by a batch and are not in the table (`missing`, never more than 0
    in a healthy stream). `gone` are those that the broker dropped before they were read and nobody has accepted as
    lost. `topic_id` is the topic these are offsets of: after a recreation there are two.
    """

    topic_id: str
    partition: int
    begin: int
    next: int
    end: int
    read: int
    quarantined: int
    empty: int
    lost: int
    missing: int
    gone: int = 0

    @property
    def unaccounted(self) -> int:
        """Offsets of which nobody can say where they are."""
        return self.end - self.begin - self.read - self.quarantined - self.empty - self.lost

    @property
    def lag(self) -> int:
        """Offsets that the stream has yet to come to, and that are still there to be read."""
        return max(0, self.end - self.next - self.gone)


@dataclass(frozen=True, slots=True)
class StreamLedger:
    """The ledger of one stream; `topic_id` is the broker's topic.

    `recreated`: that is not the topic bronze was read from. Then its lines stand behind those of the topic that is
    gone, unaccounted from the first offset to the last, until a person accepts that what was never read is lost.
    """

    dataset: str
    topic: str
    topic_id: str
    recreated: bool
    snapshot_id: int | None
    partitions: tuple[PartitionLine, ...]

    @property
    def unaccounted(self) -> int:
        """Sum over the partitions."""
        return sum(line.unaccounted for line in self.partitions)

    @property
    def lag(self) -> int:
        """Sum over the partitions. A recreated topic is not read until somebody accepts it, so it has none."""
        return 0 if self.recreated else sum(line.lag for line in self.partitions)

    @property
    def beyond_lag(self) -> int:
        """Unaccounted offsets that no reading on will account for: missing, gone, or of a recreated topic."""
        return self.unaccounted - self.lag


def stream_ledgers(names: Sequence[str] = (), *, exact: bool = False) -> list[StreamLedger]:
    """Ledgers of these streams (default: all), each named by dataset or topic.

    `exact` counts the rows of bronze instead of trusting the summaries. Raises `BrokerUnavailable`, `TopicMissing`,
    `ContractError` for a name that is no stream.
    """
    broker = Broker(get_settings())
    return [ledger_of(dataset, broker.topic(dataset.topic), exact=exact) for dataset in streams(names)]


def streams(names: Sequence[str] = ()) -> list[Dataset]:
    """Datasets read from topics, by name or topic; all where none is named."""
    contracts = load_contracts()
    known = contracts.of_kind(*STREAMED)
    by_topic = {dataset.topic: dataset for dataset in known}
    return [by_topic.get(name) or contracts.get(name) for name in names] if names else list(known)


def ledger_of(dataset: Dataset, topic: Topic, *, exact: bool = False) -> StreamLedger:
    """The ledger of one stream beside the topic as the broker has it."""
    try:
        table = get_catalog().load_table(f"bronze.{dataset.name}")
    except NoSuchTableError:
        table = None
    account = nearest_account(table) if table is not None else None
    read = () if table is None or account is None else tuple(_lines(table, account, topic, exact))
    followed = account is not None and account.topic_id == topic.topic_id
    return StreamLedger(
        dataset.name,
        topic.name,
        topic.topic_id,
        account is not None and not followed,
        None if account is None else account.snapshot_id,
        read if followed else (*read, *_unread(topic)),
    )


def _unread(topic: Topic) -> tuple[PartitionLine, ...]:
    return tuple(
        PartitionLine(topic.topic_id, p, low, low, topic.high[p], 0, 0, 0, 0, 0) for p, low in topic.low.items()
    )


def _lines(table: Table, account: Account, topic: Topic, exact: bool) -> Iterator[PartitionLine]:
    high = topic.high if account.topic_id == topic.topic_id else {}
    gone = gone_offsets(account, topic) if high else {}
    bad = _positions(table, account, f"{ERROR} IS NOT NULL")
    rows = _positions(table, account, f"{ATTEMPT} = 0") if exact else _summed(table, account)
    for partition in sorted({*account.offsets, *high}):
        begin, empty, lost = (n.get(partition, 0) for n in (account.begin, account.empty, account.lost))
        following = account.offsets.get(partition, begin)
        quarantined, there = bad.get(partition, 0), rows.get(partition, 0)
        first, last = gone.get(partition, (following, following))
        yield PartitionLine(
            topic_id=account.topic_id,
            partition=partition,
            begin=begin,
            next=following,
            end=high.get(partition, following),
            read=there - quarantined,
            quarantined=quarantined,
            empty=empty,
            lost=lost,
            missing=following - begin - empty - lost - there,
            gone=last - first if first == following else 0,  # otherwise the log was cut off at its end
        )


def _summed(table: Table, account: Account) -> dict[int, int]:
    """Rows per partition by the summaries; what the last snapshot covers without having it is taken off."""
    rows = account.rows()
    if account.unproven:
        from headwater.streaming.gaps import missing_offsets

        for partition, missing in missing_offsets(table, account).items():
            rows[partition] -= len(missing)
    return rows


def _positions(table: Table, account: Account, condition: str) -> dict[int, int]:
    """Distinct offsets per partition, of rows as they arrived from the account's topic."""
    scan = table.scan(
        row_filter=of_topic(table, account, condition), selected_fields=(PARTITION, OFFSET, ATTEMPT, ERROR)
    )
    rows: pa.Table = scan.to_arrow()
    rows = rows.filter(pc.equal(rows[ATTEMPT], 0)).select([PARTITION, OFFSET])
    counted = rows.group_by(PARTITION).aggregate([(OFFSET, "count_distinct")]).to_pylist()
    return {line[PARTITION]: line[f"{OFFSET}_count_distinct"] for line in counted}


def of_topic(table: Table, account: Account, condition: str) -> str:
    """The condition for rows of the account's topic alone.

    Rows from before bronze kept the topic's id have none; they count as that topic's.
    """
    if TOPIC_ID not in table.schema().column_names:
        return condition
    return f"({condition}) AND ({TOPIC_ID} = '{account.topic_id}' OR {TOPIC_ID} IS NULL)"
