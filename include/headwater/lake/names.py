"""Names for snapshots: tags, which stay where they are, and branches, which may be written on beside main.

A snapshot that has one is kept by maintenance, with its rows, until the name is removed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum

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


class RefKind(StrEnum):
    """What may name a snapshot."""

    TAG = "tag"
    BRANCH = "branch"


class NameRefused(TerminalError):
    """The name cannot be given or taken away."""


def names(table: Table, kind: RefKind) -> dict[str, int]:
    """The snapshot of each tag, or the newest of each branch, by name; main is not told."""
    refs = sorted(table.metadata.refs.items())
    return {name: ref.snapshot_id for name, ref in refs if ref.snapshot_ref_type.value == kind and name != "main"}


def create(catalog: Catalog, table: Table, kind: RefKind, name: str, reference: str = "main") -> Snapshot:
    """Name a snapshot that readers have seen. Raises `NameRefused`, `NoSuchSnapshot`."""
    where = table_name(table)
    if not NAME.fullmatch(name) or name in RESERVED or parse_time(name):
        remedy = f"use a letter, then letters, digits, '.', '_' and '-', and none of {', '.join(sorted(RESERVED))}"
        raise NameRefused(f"'{name}' cannot be the name of a {kind}", where=where, remedy=remedy)
    snapshot = resolve(table, reference)
    if (there := table.metadata.refs.get(name)) is not None:
        command = f"headwater table {there.snapshot_ref_type.value} {where} {name} --remove"
        remedy = f"choose another name, or remove it: `{command}`"
        raise NameRefused(f"'{name}' names snapshot {there.snapshot_id} already", where=where, remedy=remedy)
    if snapshot.snapshot_id not in published(table) | set(names(table, RefKind.TAG).values()):
        raise NameRefused(
            f"snapshot {snapshot.snapshot_id} was never published: no reader of the table has seen it",
            where=where,
            remedy=f"take one that `headwater table history {where}` shows as main or undone",
        )
    if kind is RefKind.TAG:
        _commit(catalog, where, lambda change: change.create_tag(snapshot.snapshot_id, name))
    else:
        _commit(catalog, where, lambda change: change.create_branch(snapshot.snapshot_id, name))
    return snapshot


def remove(catalog: Catalog, table: Table, kind: RefKind, name: str) -> int:
    """Take a name away and return the snapshot it named, which may now expire. Raises `NameRefused`."""
    where, found = table_name(table), names(table, kind)
    if name in RESERVED:
        raise NameRefused(f"'{name}' is the platform's own", where=where, remedy="leave it: a reader depends on it")
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise NameRefused(f"there is no {kind} '{name}'", where=where, remedy=f"there are: {known}")
    if kind is RefKind.TAG:
        _commit(catalog, where, lambda change: change.remove_tag(name))
    else:
        _commit(catalog, where, lambda change: change.remove_branch(name))
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
