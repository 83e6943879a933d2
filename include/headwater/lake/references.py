"""Which table and which snapshot a person means: a name, and an id, a tag, a branch or a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from headwater.errors import TerminalError
from headwater.lake.sessions import CATALOG
from headwater.lake.snapshots import ancestry, head_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class NoSuchTable(TerminalError):
    """The catalog has no such table, or several that may be meant."""


class NoSuchSnapshot(TerminalError):
    """The table has no such snapshot: it never had it, or it has expired."""


def open_table(catalog: Catalog, name: str) -> Table:
    """The table `<namespace>.<name>`; a name alone will do where only one namespace has it. Raises `NoSuchTable`."""
    full = name.removeprefix(f"{CATALOG}.")
    if "." not in full:
        full = _only_one(catalog, full)
    try:
        return catalog.load_table(full)
    except NoSuchTableError:
        raise _unknown(full) from None


def table_name(table: Table) -> str:
    """`<namespace>.<name>`, as locks and summaries call it."""
    return ".".join(table.name())


def resolve(table: Table, reference: str) -> Snapshot:
    """The snapshot of an id, a tag, a branch, or a time (ISO 8601, UTC where it names no zone).

    Raises `NoSuchSnapshot`. A time means what a reader of main saw then, also where that has been rolled back since.
    """
    named = table.metadata.refs.get(reference)
    if named is not None:
        return _there(table, named.snapshot_id)
    if reference.isdigit():
        return _there(table, int(reference))
    moment = parse_time(reference)
    if moment is None:
        known = ", ".join(sorted(table.metadata.refs)) or "none yet"
        raise NoSuchSnapshot(
            f"'{reference}' is neither a snapshot's id, nor a tag, nor a time",
            where=table_name(table),
            remedy=f"tags and branches are: {known}; a time is like 2026-01-31T12:00, in UTC",
        )
    return _as_of(table, moment)


def parse_time(text: str) -> datetime | None:
    """The time in UTC; None where the text is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def time_of(snapshot: Snapshot) -> datetime:
    """When it was committed, in UTC."""
    return EPOCH + snapshot.timestamp_ms * MILLISECOND


def published(table: Table) -> set[int]:
    """Snapshots that readers of main have seen, or see: also those that were rolled back, as long as they are kept.

    What a refused build has left is not among them: nobody has judged it good.
    """
    heads = {entry.snapshot_id for entry in table.metadata.snapshot_log} | {head_id(table)}
    return {snapshot.snapshot_id for head in heads if head is not None for snapshot in ancestry(table, start=head)}


def tags_by_snapshot(table: Table) -> dict[int, list[str]]:
    """The names of tags and branches, by the snapshot they name."""
    found: dict[int, list[str]] = {}
    for name, reference in sorted(table.metadata.refs.items()):
        found.setdefault(reference.snapshot_id, []).append(name)
    return found


def _only_one(catalog: Catalog, name: str) -> str:
    found = sorted(_tables_called(catalog, name))
    if not found:
        raise _unknown(name)
    if len(found) > 1:
        raise NoSuchTable("there are several tables of that name", where=name, remedy=f"say {' or '.join(found)}")
    return found[0]


def _tables_called(catalog: Catalog, name: str) -> Iterator[str]:
    for namespace in catalog.list_namespaces():
        yield from (".".join(table) for table in catalog.list_tables(namespace) if table[-1] == name)


def _unknown(name: str) -> NoSuchTable:
    remedy = "`headwater dataset list` names the datasets, `headwater contract apply` makes their tables"
    return NoSuchTable("there is no such table in the lake", where=name, remedy=remedy)


def _there(table: Table, snapshot_id: int) -> Snapshot:
    snapshot = table.metadata.snapshot_by_id(snapshot_id)
    if snapshot is None:
        raise NoSuchSnapshot(
            f"there is no snapshot {snapshot_id}, or it has expired",
            where=table_name(table),
            remedy=f"`headwater table history {table_name(table)}` lists those that are kept",
        )
    return snapshot


def _as_of(table: Table, moment: datetime) -> Snapshot:
    snapshot = table.snapshot_as_of_timestamp((moment - EPOCH) // MILLISECOND)
    if snapshot is None:
        raise NoSuchSnapshot(
            f"nothing is kept of {moment.isoformat()}",
            where=table_name(table),
            remedy=f"`headwater table history {table_name(table)}` lists what is kept; older snapshots have expired",
        )
    return snapshot
