"""What has happened to a table since a snapshot, from its metadata alone; no data file is opened.

Compaction writes `replace` snapshots: the same rows in other files. They are never a change. Rows that go because they
have been kept as long as the contract says (`RETENTION`) are none either, to what was built from them: gold keeps its
own rows longer than silver does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile, DataFileContent, ManifestEntryStatus
from pyiceberg.partitioning import PartitionField
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.types import DateType, PrimitiveType, TimestampType, TimestamptzType

from headwater.lake.snapshots import ancestry, head_id, operation_of, properties_of

EPOCH = date(1970, 1, 1)
RETENTION = "headwater.retention"
"""Summary key of a snapshot in which rows went by age alone; its value says which."""


class InputExpired(Exception):
    """The snapshot up to which an input had been read can no longer be reached from its head."""


@dataclass(frozen=True, slots=True)
class AppendRange:
    """Snapshots after `start` (None: from the beginning) up to and including `end` (None: the table is empty).

    `rows`, `files` and `bytes` add up what the appends in between brought, by their summaries.
    """

    start: int | None
    end: int | None
    rows: int = 0
    files: int = 0
    bytes: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether no append lies in the range."""
        return self.files == 0


@dataclass(frozen=True, slots=True)
class DateRange:
    """Dates from `start` up to, not including, `end`."""

    start: date
    end: date


@dataclass(frozen=True, slots=True)
class ChangedDates:
    """Ranges of dates in which rows have come, gone or changed; sorted, apart from each other. Empty: nothing has."""

    ranges: tuple[DateRange, ...]

    def __bool__(self) -> bool:
        return bool(self.ranges)


def appended_since(table: Table, snapshot_id: int | None, branch: str = "main") -> AppendRange:
    """The appends after `snapshot_id` (None: all). Raises `InputExpired` where that is no ancestor of the head."""
    end = head_id(table, branch)
    if end is None:
        if snapshot_id is None:
            return AppendRange(None, None)
        raise InputExpired(f"snapshot {snapshot_id} is gone: the table has none")
    appends = [s for s in _after(table, snapshot_id, branch) if operation_of(s) == "append"]
    rows, files, size = (
        sum(int(properties_of(s).get(key, 0)) for s in appends)
        for key in ("added-records", "added-data-files", "added-files-size")
    )
    return AppendRange(snapshot_id, end, rows, files, size)


def changed_partitions(
    table: Table, since: int | None, column: str, branch: str = "main", *, retention: bool = False
) -> ChangedDates | None:
    """Dates of `column` whose rows may have changed after snapshot `since`.

    Taken from the partitions of the files that each commit added or removed, where the table is partitioned by a
    transform of `column`, else from the column's bounds in those files. None means everything: `since` is None or no
    longer reachable, or a file says nothing about the column (a positional delete file in a table that is not
    partitioned by it). With `retention`, rows that went by age count too: for copies that are kept as long as these.
    """
    if since is None:
        return None
    try:
        snapshots = [s for s in _after(table, since, branch) if is_change(s) or (retention and by_age(s))]
    except InputExpired:
        return None
    ranges: set[DateRange] = set()
    for snapshot in snapshots:
        for spec_id, file in _changed_files(table, snapshot):
            found = _dates_of(table, spec_id, file, column)
            if found is None:
                return None
            ranges.add(found)
    return ChangedDates(joined(ranges))


def is_change(snapshot: Snapshot) -> bool:
    """Whether it may say something else than the one before it: neither compaction nor retention does."""
    return operation_of(snapshot) != "replace" and not by_age(snapshot)


def by_age(snapshot: Snapshot) -> bool:
    """Whether rows have gone in it by their age alone."""
    return RETENTION in properties_of(snapshot)


def joined(ranges: Iterable[DateRange]) -> tuple[DateRange, ...]:
    """Sorted, with overlapping and touching ranges made one."""
    found: list[DateRange] = []
    for item in sorted(ranges, key=lambda r: (r.start, r.end)):
        if found and item.start <= found[-1].end:
            found[-1] = DateRange(found[-1].start, max(found[-1].end, item.end))
        else:
            found.append(item)
    return tuple(found)


def _after(table: Table, since: int | None, branch: str) -> list[Snapshot]:
    """Ancestors of the head that came after `since`, newest first."""
    found: list[Snapshot] = []
    for snapshot in ancestry(table, branch):
        if snapshot.snapshot_id == since:
            return found
        found.append(snapshot)
        if since is not None and snapshot.parent_snapshot_id == since:
            return found  # `since` itself has expired, but nothing between it and here has
    if since is None:
        return found
    raise InputExpired(f"snapshot {since} is no longer an ancestor of the head of {'.'.join(table.name())}")


def _changed_files(table: Table, snapshot: Snapshot) -> Iterator[tuple[int, DataFile]]:
    """Files that this very snapshot added or removed, each with its partition spec."""
    for manifest in snapshot.manifests(table.io):
        if manifest.added_snapshot_id != snapshot.snapshot_id:
            continue
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
            if entry.status != ManifestEntryStatus.EXISTING and entry.snapshot_id == snapshot.snapshot_id:
                yield manifest.partition_spec_id, entry.data_file


def _dates_of(table: Table, spec_id: int, file: DataFile, column: str) -> DateRange | None:
    """The dates this file can hold: from its partition, else from the column's bounds."""
    source = table.schema().find_field(column)
    for position, partition in enumerate(table.specs()[spec_id].fields):
        if partition.source_id == source.field_id:
            return _partition_dates(partition, file.partition[position])
    if file.content != DataFileContent.DATA:
        return None
    lower, upper = (file.lower_bounds or {}).get(source.field_id), (file.upper_bounds or {}).get(source.field_id)
    if lower is None or upper is None or not isinstance(source.field_type, DateType | TimestampType | TimestamptzType):
        return None
    first, last = (_as_date(from_bytes(source.field_type, bound), source.field_type) for bound in (lower, upper))
    return DateRange(first, last + timedelta(days=1))


def _partition_dates(partition: PartitionField, value: Any) -> DateRange | None:
    """Dates of one partition value; None where the value is null or the transform is none over time."""
    if value is None:
        return None
    match str(partition.transform):
        case "day" | "identity":
            first = value if isinstance(value, date) else EPOCH + timedelta(days=value)
            return DateRange(first, first + timedelta(days=1))
        case "month":
            return DateRange(_month(value), _month(value + 1))
        case "year":
            return DateRange(date(1970 + value, 1, 1), date(1971 + value, 1, 1))
    return None


def _month(months_since_epoch: int) -> date:
    return date(1970 + months_since_epoch // 12, months_since_epoch % 12 + 1, 1)


def _as_date(value: Any, field_type: PrimitiveType) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return EPOCH + timedelta(days=value if isinstance(field_type, DateType) else value // 86_400_000_000)
