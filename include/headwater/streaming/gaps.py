"""Offsets that a batch covered and that are not among its rows: without a record, or missing?

Kafka uses up offsets for transaction markers, aborted records and records that compaction removed. Those are recorded
as `empty` in an account of their own, a snapshot without rows. A record that the broker still has and bronze has not
is a hole: the stream stops.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from pyiceberg.table import Table

from headwater.errors import TerminalError
from headwater.lake.catalog import CatalogUnavailableError
from headwater.lake.snapshots import TOKEN, with_token
from headwater.streaming.broker import Broker
from headwater.streaming.ledger import Account, nearest_account
from headwater.streaming.records import CommittedRecords


class RowsMissing(TerminalError):
    """Records that the broker has are not in bronze, although the account covers them."""


def settled(table: Table, written: Account, broker: Broker, topic: str) -> Account:
    """The account with this snapshot's offsets without a record counted as `empty`, committed to the table.

    Raises `RowsMissing` where the broker has a record at an offset that the snapshot's rows lack.
    """
    empty = dict(written.empty)
    with CommittedRecords(broker.settings, topic) as records:
        for partition, missing in missing_offsets(table, written).items():
            if (found := _first_record(records, partition, missing)) is not None:
                raise RowsMissing(
                    f"the topic has offset {found} of partition {partition}, snapshot {written.snapshot_id} has not",
                    where=f"{'.'.join(table.name())} ({topic})",
                    remedy="keep the topic and the stream's log: `headwater ledger --verify` names the offsets, and "
                    "the topic still has their records, which can be sent again",
                )
            empty[partition] = empty.get(partition, 0) + len(missing)
    corrected = replace(written, empty=empty, counts={})
    commit_account(table, corrected)
    committed = nearest_account(table.refresh())
    return corrected if committed is None else replace(committed, added=written.added)


def _first_record(records: CommittedRecords, partition: int, missing: npt.NDArray[np.int64]) -> int | None:
    """The first of these offsets at which the topic has a record."""
    for start, end in runs(missing):
        found = records.first_at_or_after(partition, start)
        if found is not None and found < end:
            return found
    return None


def commit_account(table: Table, account: Account) -> None:
    """Commit an account that comes with no rows; a commit whose answer is lost is recognised."""
    token = uuid.uuid4().hex
    properties = account.properties() | {TOKEN: token}
    try:
        with (
            table.transaction() as transaction,
            transaction.update_snapshot(snapshot_properties=properties).fast_append(),
        ):
            pass  # no file to add
    except CatalogUnavailableError:
        if with_token(table.refresh(), token) is None:
            raise


def missing_offsets(table: Table, written: Account) -> dict[int, npt.NDArray[np.int64]]:
    """Per partition the offsets that the account's snapshot covers and whose rows it lacks, ascending."""
    parent = next(s.parent_snapshot_id for s in table.metadata.snapshots if s.snapshot_id == written.snapshot_id)
    scan = table.incremental_append_scan(
        from_snapshot_id_exclusive=parent,
        to_snapshot_id_inclusive=written.snapshot_id,
        selected_fields=("_kafka_partition", "_kafka_offset"),
    )
    rows = scan.to_arrow()
    partitions, offsets = (rows[name].to_numpy() for name in ("_kafka_partition", "_kafka_offset"))
    found = {}
    for partition, count in written.counts.items():
        end = written.offsets[partition]
        covered = np.arange(end - count, end, dtype=np.int64)
        missing = np.setdiff1d(covered, offsets[partitions == partition])
        if missing.size:
            found[partition] = missing
    return found


def runs(offsets: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ascending offsets as ranges [from, to)."""
    breaks = np.flatnonzero(np.diff(offsets) > 1)
    for start, end in zip([0, *(breaks + 1)], [*breaks, len(offsets) - 1], strict=True):
        yield int(offsets[start]), int(offsets[end]) + 1
