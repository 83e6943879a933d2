"""Names for snapshots. A snapshot that has one is kept by maintenance, with its rows, until the name is removed."""

from __future__ import annotations

import re
from collections.abc import Callable

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update.snapshot import ManageSnapshots

from headwater.errors import RetryableError, TerminalError
from headwater.lake.branches import BRANCH
from headwater.lake.references import parse_time, published, resolve, table_name

POSITION_TAG = "headwater-position"
"""Maintenance's own: keeps the snapshot that holds a stream's position."""
RESERVED = frozenset({"main", BRANCH, POSITION_TAG})
NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")
TRIES = 10
"""A stream commits to its bronze every two seconds; a tag meets it now and then, and hardly ever twice."""


class TagRefused(TerminalError):
    """The name cannot be given or taken away."""


def tags(table: Table) -> dict[str, int]:
    """The snapshot of each tag, by name."""
    refs = sorted(table.metadata.refs.items())
    return {name: ref.snapshot_id for name, ref in refs if ref.snapshot_ref_type == "tag"}


def create_tag(catalog: Catalog, table: Table, name: str, reference: str = "main") -> Snapshot:
    """Name a snapshot that readers have seen. Raises `TagRefused`, `NoSuchSnapshot`."""
    where = table_name(table)
    if not NAME.fullmatch(name) or name in RESERVED or parse_time(name):
        remedy = f"use a letter, then letters, digits, '.', '_' and '-', and none of {', '.join(sorted(RESERVED))}"
        raise TagRefused(f"'{name}' cannot be the name of a tag", where=where, remedy=remedy)
    snapshot = resolve(table, reference)
    if name in table.metadata.refs:
        there = table.metadata.refs[name].snapshot_id
        remedy = f"choose another name, or remove it: `headwater table tag {where} {name} --remove`"
        raise TagRefused(f"'{name}' names snapshot {there} already", where=where, remedy=remedy)
    if snapshot.snapshot_id not in published(table) | set(tags(table).values()):
        raise TagRefused(
            f"snapshot {snapshot.snapshot_id} was never published: no reader of the table has seen it",
            where=where,
            remedy=f"take one that `headwater table history {where}` shows as main or undone",
        )
    _commit(catalog, where, lambda change: change.create_tag(snapshot.snapshot_id, name))
    return snapshot


def remove_tag(catalog: Catalog, table: Table, name: str) -> int:
    """Take a name away and return the snapshot it named, which may now expire. Raises `TagRefused`."""
    where, found = table_name(table), tags(table)
    if name in RESERVED:
        raise TagRefused(f"'{name}' is the platform's own", where=where, remedy="leave it: a reader depends on it")
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise TagRefused(f"there is no tag '{name}'", where=where, remedy=f"tags are: {known}")
    _commit(catalog, where, lambda change: change.remove_tag(name))
    return found[name]


def move_tag(catalog: Catalog, name: str, tag: str, snapshot_id: int) -> None:
    """Have one of the platform's own tags name this snapshot. Raises `RetryableError`."""

    def change(on: ManageSnapshots) -> ManageSnapshots:
        there = tag in catalog.load_table(name).metadata.refs
        return (on.remove_tag(tag) if there else on).create_tag(snapshot_id, tag)

    _commit(catalog, name, change)


def _commit(catalog: Catalog, name: str, change: Callable[[ManageSnapshots], ManageSnapshots]) -> None:
    """Commit on the newest metadata, again where another writer came first. Raises `RetryableError`."""
    for _ in range(TRIES):
        try:
            change(catalog.load_table(name).manage_snapshots()).commit()
        except CommitFailedException as error:
            failure = error
        else:
            return
    raise RetryableError(
        f"another writer changed the table in each of {TRIES} tries", where=name, remedy="run it again"
    ) from failure
