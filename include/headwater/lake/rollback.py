"""Make an earlier snapshot of a table its newest again.

Nothing is deleted: what is undone stays until its snapshots expire, and can be made the newest again until then.
A derived table's summaries say how far it has read its inputs, so with the rows its position goes back too: its next
build does again what was undone. Two kinds of table must not go back, because something outside of them goes on from
what they say: a stream's bronze (its account of Kafka's offsets) and the refused rows of a silver table.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from headwater.contracts.layers import table_names
from headwater.contracts.model import Contracts, Dataset, Kind
from headwater.errors import RetryableError, TerminalError
from headwater.lake.inspection import live_rows
from headwater.lake.locks import table_lock
from headwater.lake.names import RefKind, names
from headwater.lake.readers import readers_of
from headwater.lake.references import open_table, published, resolve, table_name
from headwater.lake.snapshots import ancestry, head_id, nearest_with
from headwater.streaming.ledger import OFFSETS

WAIT_SECONDS = 60.0
"""A person waits at the terminal: better told soon who works on the table."""


class RollbackRefused(TerminalError):
    """This table must not go back, or not to this snapshot."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """What a rollback does: snapshots that readers no longer see, those they see again, and what follows from it."""

    table: str
    head: Snapshot
    target: Snapshot
    undone: tuple[Snapshot, ...]
    restored: tuple[Snapshot, ...]
    follows: tuple[str, ...]

    @property
    def rows(self) -> tuple[int | None, int | None]:
        """Rows of the table before and after."""
        return live_rows(self.head), live_rows(self.target)

    @property
    def changes_nothing(self) -> bool:
        """Whether the table is there already."""
        return self.head.snapshot_id == self.target.snapshot_id


def plan(catalog: Catalog, contracts: Contracts, name: str, reference: str) -> Rollback:
    """What a rollback to `reference` would do. Raises `RollbackRefused`, `NoSuchTable`, `NoSuchSnapshot`."""
    return _plan(catalog, contracts, open_table(catalog, name), reference)


def roll_back(
    catalog: Catalog, contracts: Contracts, name: str, reference: str, *, wait_seconds: float = WAIT_SECONDS
) -> Rollback:
    """Do it, under the table's lock; returns what was done. Raises what `plan` raises, and `TableLocked`."""
    full = table_name(open_table(catalog, name))
    with table_lock(full, purpose="rollback", wait_seconds=wait_seconds) as lock:
        table = open_table(catalog, full)
        planned = _plan(catalog, contracts, table, reference)
        if planned.changes_nothing:
            return planned
        lock.assert_held()
        try:
            table.manage_snapshots().set_current_snapshot(planned.target.snapshot_id).commit()
        except CommitFailedException as error:
            remedy = "nothing was changed; look at its history and try again"
            raise RetryableError("another writer changed the table meanwhile", where=full, remedy=remedy) from error
        return planned


def _plan(catalog: Catalog, contracts: Contracts, table: Table, reference: str) -> Rollback:
    name = table_name(table)
    owner = next((d for d in contracts.datasets.values() if name in table_names(d)), None)
    _refuse(table, name, owner)
    target, main = resolve(table, reference), list(ancestry(table))
    if not main:
        raise RollbackRefused("nothing has been committed to it", where=name, remedy="there is nothing to undo")
    if target.snapshot_id not in published(table) | set(names(table, RefKind.TAG).values()):
        raise RollbackRefused(
            f"snapshot {target.snapshot_id} was never published: nobody has judged it good",
            where=name,
            remedy=f"take one that `headwater table history {name}` shows as main, undone or kept",
        )
    kept = list(ancestry(table, start=target.snapshot_id))
    before, after = ({s.snapshot_id for s in side} for side in (main, kept))
    undone = tuple(s for s in main if s.snapshot_id not in after)
    restored = tuple(s for s in kept if s.snapshot_id not in before)
    if head_id(table) == target.snapshot_id:
        return Rollback(name, main[0], target, (), (), ())
    return Rollback(name, main[0], target, undone, restored, tuple(_follows(catalog, name, owner, undone)))


def _refuse(table: Table, name: str, owner: Dataset | None) -> None:
    is_stream = owner is not None and owner.streamed
    if name.startswith("bronze.") and (is_stream or nearest_with(table, OFFSETS) is not None):
        raise RollbackRefused(
            "a stream's bronze does not go back: its snapshots say which of Kafka's offsets have been read",
            where=name,
            remedy="roll back the silver or gold table; what could not be read is in `headwater quarantine list`",
        )
    if owner is not None and name == f"silver.{owner.name}_refused":
        raise RollbackRefused(
            "refused rows do not go back: silver has been read past them, so they would be forgotten",
            where=name,
            remedy=f"roll back silver.{owner.name}: its next build judges these rows again",
        )


def _follows(catalog: Catalog, name: str, owner: Dataset | None, undone: tuple[Snapshot, ...]) -> list[str]:
    """What happens next, in sentences."""
    if owner is None:
        return []
    again = "its next ingest appends again what the source still has"
    if not name.startswith("bronze."):
        again = "its next build does again what is undone, from its inputs"
    found = [f"{again}: pause the DAG `{owner.domain}` until the cause is mended"]
    ids = {snapshot.snapshot_id for snapshot in undone}
    readers = sorted({r.name for r in readers_of(catalog, owner, name) if r.name != name and r.snapshot_id in ids})
    if readers:
        found.append(f"{', '.join(readers)} have read what is undone: their next build takes all of {name} as changed")
    if owner.kind is Kind.MODEL and owner.warehouse is not None:
        found.append(f"the warehouse goes on showing what it shows; its next load follows, with all of {name}")
    return found
