"""The account of a stream, as its bronze table keeps it: in the summary of each snapshot, beside the rows it speaks of.

Every micro-batch commits its rows and these keys in one snapshot, so the account can be neither ahead of the data nor
behind it. `offsets` and all keys but `counts` are cumulative: the nearest ancestor that has them says everything.

Why the counts are exact although they are known before the batch is written (docs/adr/0005-bronze-accounting.md): a
batch covers the offsets [begin, end) of each partition, each offset becomes at most one row, and Iceberg itself writes
`added-records` into the same summary. Where that equals the sum of the offsets covered, every partition is complete.
Where it is less, some offsets hold no record (transaction markers, aborted or compacted records), or rows are missing;
`gaps` finds out which, and until it has, the difference is shown as unaccounted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pyiceberg.table import Table

from headwater.errors import TerminalError
from headwater.lake.snapshots import ancestry, operation_of, properties_of

TOPIC_ID = "headwater.topic-id"
BEGIN = "headwater.begin"
OFFSETS = "headwater.offsets"
COUNTS = "headwater.counts"
EMPTY = "headwater.empty"
LOST = "headwater.lost"
RETAINED = "headwater.retained"
"""Property of the table, and key of the summaries that change it: what retention has let go of."""

Offsets = Mapping[int, int]
"""A number per partition."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a bronze table says of its topic. `begin` is the first offset ever taken, `offsets` the next to read.

    `counts` are the offsets this snapshot covers, `empty` those so far that hold no record, `lost` those so far that
    were gone before they could be read and were accepted as lost by a person; `added` is Iceberg's own count.
    """

    topic_id: str
    begin: Offsets
    offsets: Offsets
    counts: Offsets = field(default_factory=dict)
    empty: Offsets = field(default_factory=dict)
    lost: Offsets = field(default_factory=dict)
    snapshot_id: int | None = None
    added: int | None = None

    @property
    def unproven(self) -> int:
        """Offsets this snapshot covers that are not among its rows: without a record, or missing."""
        return 0 if self.added is None else sum(self.counts.values()) - self.added

    def advanced(self, ends: Offsets) -> Account:
        """The account after a batch that ends at `ends`; a partition that is new begins at 0."""
        begin = {partition: self.begin.get(partition, 0) for partition in {*self.begin, *ends}}
        offsets = {**{partition: begin[partition] for partition in begin}, **self.offsets, **ends}
        counts = {partition: end - self.offsets.get(partition, 0) for partition, end in ends.items()}
        backwards = {partition: count for partition, count in counts.items() if count < 0}
        if backwards:
            raise TerminalError(
                f"the batch ends before the offsets already read: {backwards}",
                remedy="the topic was truncated or recreated; see `headwater stream status`",
            )
        return replace(self, begin=begin, offsets=offsets, counts=counts, snapshot_id=None, added=None)

    def rows(self) -> dict[int, int]:
        """Rows of bronze (first attempts) per partition by this account."""
        return {
            partition: end - self.begin.get(partition, 0) - self.empty.get(partition, 0) - self.lost.get(partition, 0)
            for partition, end in self.offsets.items()
        }

    def properties(self) -> dict[str, str]:
        """The keys for the snapshot's summary."""
        numbers = {BEGIN: self.begin, OFFSETS: self.offsets, COUNTS: self.counts, EMPTY: self.empty, LOST: self.lost}
        written = {key: to_json(value) for key, value in numbers.items() if value or key in (OFFSETS, COUNTS)}
        return {TOPIC_ID: self.topic_id, **written}


@dataclass(frozen=True, slots=True)
class Retained:
    """Rows of a topic that were in bronze as long as the contract says, and are gone: how many, per partition.

    All of them lie below the offsets `below`. Later attempts at a record, which went with it, do not count.
    """

    topic_id: str
    rows: Offsets
    below: Offsets

    def properties(self) -> dict[str, str]:
        """As the table keeps it."""
        numbers = {"rows": self.rows, "below": self.below}
        told = {name: {str(p): value[p] for p in sorted(value)} for name, value in numbers.items()}
        return {RETAINED: json.dumps({"topic_id": self.topic_id, **told}, separators=(",", ":"))}


def retained_of(table: Table, topic_id: str) -> Retained:
    """What retention has let go of the topic's rows."""
    told = json.loads(table.properties.get(RETAINED, "{}"))
    if told.get("topic_id") != topic_id:
        return Retained(topic_id, {}, {})
    rows, below = ({int(p): int(n) for p, n in told[name].items()} for name in ("rows", "below"))
    return Retained(topic_id, rows, below)


def to_json(numbers: Offsets) -> str:
    """`{"0":12,"1":7}`, by partition."""
    return json.dumps({str(partition): numbers[partition] for partition in sorted(numbers)}, separators=(",", ":"))


def from_json(text: str) -> dict[int, int]:
    """The reverse of `to_json`."""
    return {int(partition): int(number) for partition, number in json.loads(text).items()}


def account_of(properties: Mapping[str, str], snapshot_id: int | None = None) -> Account | None:
    """The account in a snapshot's summary; None where it holds none."""
    if OFFSETS not in properties:
        return None
    begin, offsets, counts, empty, lost = (
        from_json(properties.get(key, "{}")) for key in (BEGIN, OFFSETS, COUNTS, EMPTY, LOST)
    )
    added = int(properties.get("added-records", 0))
    return Account(properties[TOPIC_ID], begin, offsets, counts, empty, lost, snapshot_id, added)


def nearest_account(table: Table, start: int | None = None) -> Account | None:
    """The account of the nearest ancestor (of snapshot `start`, or of the head) that has one.

    None for a table into which no stream has ever written.

    Raises `TerminalError` where the table has rows but no snapshot that says up to where they go: then nobody can say
    where to begin.
    """
    appended = False
    for snapshot in ancestry(table, start=start):
        found = account_of(properties_of(snapshot), snapshot.snapshot_id)
        if found is not None:
            return found
        appended = appended or operation_of(snapshot) != "delete"
    if appended:
        raise TerminalError(
            "the table has rows, but no snapshot that says up to which offsets",
            where=".".join(table.name()),
            remedy="that snapshot was expired, or the rows were written by hand: restore it, or empty the table",
        )
    return None


def unaccounted() -> int:
    """Offsets of all streams that are neither in bronze, nor known to be empty, nor accepted as lost."""
    from headwater.streaming.accounting import stream_ledgers

    return sum(line.unaccounted for ledger in stream_ledgers() for line in ledger.partitions)
