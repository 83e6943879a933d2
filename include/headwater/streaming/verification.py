"""`headwater ledger --verify`: bronze's rows against the offsets its account covers, range by range.

An offset that is covered and has no row is either missing (the broker has a record there), empty (the broker says there
is none: a transaction marker, an aborted or compacted record), or beyond proof, because the broker has expired it; of
those only the number can be held against what the account counts as empty and lost. Below the offset up to which
retention has let rows go, the broker is not asked either: what it still has, bronze has had.

The rows are read file by file, three columns of them, and kept as ranges, so that memory follows the number of ranges
and not that of rows. Compaction and expiry of snapshots change nothing of it: rows and their topic's id are enough.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pyiceberg.table import Table

from headwater.contracts.layers import ATTEMPT, OFFSET, PARTITION
from headwater.contracts.model import Dataset
from headwater.lake.batches import file_batches
from headwater.lake.catalog import get_catalog
from headwater.settings import get_settings
from headwater.streaming.accounting import of_topic, streams
from headwater.streaming.broker import Broker, Topic
from headwater.streaming.gaps import runs
from headwater.streaming.ledger import Account, Retained, nearest_account, retained_of
from headwater.streaming.records import CommittedRecords

Range = tuple[int, int]
"""Offsets [from, to)."""


MEANING = {
    "missing": "records of the topic that bronze does not have",
    "overlaps": "more than one row each",
    "outside": "rows that the account does not cover",
    "expired": "no rows, and the broker no longer knows whether there were records",
}


@dataclass(frozen=True, slots=True)
class PartitionCheck:
    """What the rows of one partition say of the offsets [begin, next) that the account covers.

    `rows`: how many of them have one. `missing`: the broker has records there, bronze has not. `overlaps`: more than
    one row as it arrived. `outside`: rows that the account does not cover. `expired`: no row, and the broker can no
    longer say. `empty`: how many offsets hold no record, as the broker says. `retained`: how many were there as long as
    the contract keeps rows. `unexplained`: how many more without a row there are than all these and what is lost.
    """

    partition: int
    begin: int
    next: int
    rows: int
    missing: tuple[Range, ...]
    overlaps: tuple[Range, ...]
    outside: tuple[Range, ...]
    expired: tuple[Range, ...]
    empty: int
    unexplained: int
    retained: int = 0

    @property
    def agrees(self) -> bool:
        """Whether rows and account say the same."""
        return not (self.missing or self.overlaps or self.outside or self.unexplained)


@dataclass(frozen=True, slots=True)
class Verification:
    """One stream, by the topic its account is of."""

    dataset: str
    topic: str
    topic_id: str
    partitions: tuple[PartitionCheck, ...]

    @property
    def agrees(self) -> bool:
        """Whether rows and account say the same everywhere."""
        return all(check.agrees for check in self.partitions)

    def findings(self) -> Iterator[str]:
        """What a person should know, a line each."""
        for check in self.partitions:
            for name in ("missing", "overlaps", "outside", "expired"):
                for start, stop in getattr(check, name):
                    yield f"partition {check.partition}, offsets {start} to {stop - 1}: {MEANING[name]}"
            if check.unexplained:
                yield f"partition {check.partition}: {check.unexplained:+,} offsets without a row against the account"


def verified(names: Sequence[str] = ()) -> list[Verification]:
    """Verify these streams (default: all) that have read anything. Raises as `stream_ledgers` does."""
    broker = Broker(get_settings())
    found = (verify(dataset, broker.topic(dataset.topic), broker) for dataset in streams(names))
    return [one for one in found if one is not None]


def verify(dataset: Dataset, topic: Topic, broker: Broker) -> Verification | None:
    """Verify one stream beside the topic as the broker has it; None where nothing was ever read."""
    name = f"bronze.{dataset.name}"
    table = get_catalog().load_table(name) if get_catalog().table_exists(name) else None
    account = None if table is None else nearest_account(table)
    if table is None or account is None:
        return None
    rows = row_ranges(table, account)
    retained = retained_of(table, account.topic_id)
    with CommittedRecords(broker.settings, topic.name) as records:
        checks = [
            _check(account, retained, partition, rows.get(partition, []), topic, records)
            for partition in sorted({*account.offsets, *rows})
        ]
    return Verification(dataset.name, topic.name, account.topic_id, tuple(checks))


def _check(
    account: Account,
    retained: Retained,
    partition: int,
    rows: Iterable[Range],
    topic: Topic,
    records: CommittedRecords,
) -> PartitionCheck:
    begin, end = account.begin.get(partition, 0), account.offsets.get(partition, 0)
    all_gaps, overlaps, outside = compare(rows, begin, end)
    below, let_go = retained.below.get(partition, begin), retained.rows.get(partition, 0)
    gaps = [(max(start, below), stop) for start, stop in all_gaps if stop > below]
    # Of another topic, or below what it still has, the broker knows nothing.
    low = topic.low.get(partition, end) if topic.topic_id == account.topic_id else end
    expired = [(start, min(stop, low)) for start, stop in gaps if start < low]
    missing = [m for start, stop in gaps if stop > low for m in with_records(records, partition, max(start, low), stop)]
    without = _size(all_gaps) - _size(missing)
    counted = account.empty.get(partition, 0) + account.lost.get(partition, 0) + let_go
    return PartitionCheck(
        partition=partition,
        begin=begin,
        next=end,
        rows=end - begin - _size(all_gaps),
        missing=tuple(missing),
        overlaps=tuple(overlaps),
        outside=tuple(outside),
        expired=tuple(expired),
        empty=_size(gaps) - _size(missing) - _size(expired),
        unexplained=without - counted,
        retained=let_go,
    )


def row_ranges(table: Table, account: Account) -> dict[int, list[Range]]:
    """Per partition the offsets of rows as they arrived from the account's topic, as ranges; repeats come as often."""
    found: dict[int, list[Range]] = defaultdict(list)
    scan = table.scan(row_filter=of_topic(table, account, f"{ATTEMPT} = 0"), selected_fields=(PARTITION, OFFSET))
    for _, batch in file_batches(scan):
        partitions, offsets = (batch[name].to_numpy() for name in (PARTITION, OFFSET))
        for partition in np.unique(partitions):
            own = np.sort(offsets[partitions == partition])
            repeated = np.flatnonzero(np.diff(own) == 0)
            found[int(partition)] += [(int(offset), int(offset) + 1) for offset in own[repeated]]
            found[int(partition)] += runs(np.unique(own))
    return found


def compare(rows: Iterable[Range], begin: int, end: int) -> tuple[list[Range], list[Range], list[Range]]:
    """Gaps in [begin, end), overlaps of the ranges, and what of them lies outside [begin, end)."""
    gaps: list[Range] = []
    overlaps: list[Range] = []
    outside: list[Range] = []
    reached = begin
    last = -1
    for start, stop in sorted(rows):
        if start < last:
            _add(overlaps, (start, min(stop, last)))
        if start < begin:
            _add(outside, (max(start, last), min(stop, begin)))
        if stop > end:
            _add(outside, (max(start, last, end), stop))
        if reached < min(start, end):
            gaps.append((reached, min(start, end)))
        reached, last = max(reached, stop), max(last, stop)
    if reached < end:
        gaps.append((reached, end))
    return gaps, overlaps, outside


def with_records(records: CommittedRecords, partition: int, start: int, stop: int) -> list[Range]:
    """The offsets of [start, stop) at which the broker has a record, as ranges."""
    found: list[Range] = []
    at = records.first_at_or_after(partition, start)
    while at is not None and at < stop:
        _add(found, (at, at + 1))
        at = records.first_at_or_after(partition, at + 1)
    return found


def _add(ranges: list[Range], new: Range) -> None:
    """Append a range, or widen the last one where it touches."""
    if new[0] >= new[1]:
        return
    if ranges and ranges[-1][1] >= new[0]:
        ranges[-1] = (ranges[-1][0], max(ranges[-1][1], new[1]))
    else:
        ranges.append(new)


def _size(ranges: Iterable[Range]) -> int:
    return sum(stop - start for start, stop in ranges)
