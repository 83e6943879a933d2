"""What a table's snapshots say about it: its ancestry, and how far each of its inputs has been read.

A derived table records in every commit's summary `headwater.input.<namespace>.<table>`: the snapshot of that input up
to which it has been read. The commit that holds the rows holds the position too, so neither can be there without the
other. Commits of maintenance (`replace`) and of others carry no such keys; the nearest ancestor that has them counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

INPUT_PREFIX = "headwater.input."
"""Prefix of the summary keys, followed by `<namespace>.<table>` of the input."""

INPUT_OFFSETS_PREFIX = "headwater.input-offsets."
"""Summary key of silver: the bronze stream's topic id and next offsets at the snapshot that has been read."""

TOKEN = "headwater.commit"  # noqa: S105  (a summary key)
"""Summary key by which a commit is recognised whose answer was lost: an id of its own for each."""

MODEL_KEY = "headwater.model"
"""Summary key of gold: fingerprint of the model that made the commit."""


def ancestry(table: Table, branch: str = "main", *, start: int | None = None) -> Iterator[Snapshot]:
    """Snapshots from the branch's head (or `start`) back to the oldest that is reachable, newest first.

    The walk ends where a parent has expired, even if older snapshots are still there by a tag.
    """
    by_id = {snapshot.snapshot_id: snapshot for snapshot in table.metadata.snapshots}
    next_id: int | None = head_id(table, branch) if start is None else start
    while next_id is not None and (snapshot := by_id.get(next_id)) is not None:
        yield snapshot
        next_id = snapshot.parent_snapshot_id


def head_id(table: Table, branch: str = "main") -> int | None:
    """Id of the branch's newest snapshot; None where nothing has been committed or there is no such branch."""
    reference = table.metadata.refs.get(branch)
    return None if reference is None else reference.snapshot_id


def properties_of(snapshot: Snapshot) -> Mapping[str, str]:
    """All keys of the snapshot's summary but the operation."""
    return {} if snapshot.summary is None else snapshot.summary.additional_properties


def operation_of(snapshot: Snapshot) -> str:
    """`append`, `overwrite`, `delete` or `replace`; a snapshot without a summary counts as overwrite."""
    return "overwrite" if snapshot.summary is None else snapshot.summary.operation.value


def nearest_properties(table: Table, prefix: str, branch: str = "main") -> dict[str, str]:
    """The keys that begin with `prefix`, of the nearest ancestor that has any; empty where none has."""
    snapshot = nearest_with(table, prefix, branch)
    told = {} if snapshot is None else properties_of(snapshot)
    return {key: value for key, value in told.items() if key.startswith(prefix)}


def nearest_with(table: Table, prefix: str, branch: str = "main") -> Snapshot | None:
    """The nearest ancestor that has keys that begin with `prefix`."""
    for snapshot in ancestry(table, branch):
        if any(key.startswith(prefix) for key in properties_of(snapshot)):
            return snapshot
    return None


def with_token(table: Table, token: str) -> Snapshot | None:
    """The snapshot that carries the token, on the way back from the head of main."""
    return next((s for s in ancestry(table) if properties_of(s).get(TOKEN) == token), None)


def inputs_read(table: Table, branch: str = "main") -> dict[str, int]:
    """How far the table has read its inputs: `{"bronze.transactions": snapshot id}`."""
    found = nearest_properties(table, INPUT_PREFIX, branch)
    return {key.removeprefix(INPUT_PREFIX): int(value) for key, value in found.items()}


def input_properties(inputs: Mapping[str, int]) -> dict[str, str]:
    """The summary keys that record `inputs`; a commit carries those of all its inputs."""
    return {f"{INPUT_PREFIX}{name}": str(snapshot_id) for name, snapshot_id in inputs.items()}


def row_count(table: Table, branch: str = "main") -> int | None:
    """Rows by the head's summary (deleted positions not yet taken off); None where it does not say."""
    for snapshot in ancestry(table, branch):
        total = properties_of(snapshot).get("total-records")
        return None if total is None else int(total)
    return 0
