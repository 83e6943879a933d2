"""What there is to know of a table from its metadata alone: its snapshots, columns, partitions, size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from headwater.lake.references import published, table_name, tags_by_snapshot, time_of
from headwater.lake.snapshots import ancestry, head_id, operation_of, properties_of

OWN = "headwater."
"""Prefix of the summary keys that the platform writes."""
_TOKEN = "commit"  # noqa: S105  (the key by which a lost commit is recognised; says nothing to a person)


@dataclass(frozen=True, slots=True)
class Entry:
    """One snapshot. `rows` are the table's after it; `says` are the platform's own summary keys, without prefix.

    `state`: `main` (readers see it or what came of it), `undone` (rolled back), `kept` (by a tag alone; those between
    it and main have expired), `unpublished` (a build that was not, or not yet, made main's).
    """

    snapshot_id: int
    committed_at: datetime
    operation: str
    rows_added: int
    rows_removed: int
    files_added: int
    files_removed: int
    rows: int | None
    state: str
    refs: tuple[str, ...]
    says: dict[str, str]


def snapshots(table: Table) -> list[Entry]:
    """All snapshots that are kept, newest first."""
    main, seen = {s.snapshot_id for s in ancestry(table)}, published(table)
    names = tags_by_snapshot(table)

    def state(snapshot_id: int) -> str:
        if snapshot_id in main:
            return "main"
        if snapshot_id in seen:
            return "undone"
        tagged = any(table.metadata.refs[name].snapshot_ref_type == "tag" for name in names.get(snapshot_id, ()))
        return "kept" if tagged else "unpublished"

    newest_first = sorted(table.metadata.snapshots, key=lambda s: (s.timestamp_ms, s.sequence_number or 0))[::-1]
    return [entry(s, state(s.snapshot_id), names.get(s.snapshot_id, ())) for s in newest_first]


def entry(snapshot: Snapshot, state: str = "main", refs: tuple[str, ...] | list[str] = ()) -> Entry:
    """A snapshot, as its summary tells it."""
    told = properties_of(snapshot)

    def count(*keys: str) -> int:
        return sum(int(told.get(key, 0)) for key in keys)

    return Entry(
        snapshot_id=snapshot.snapshot_id,
        committed_at=time_of(snapshot),
        operation=operation_of(snapshot),
        rows_added=count("added-records"),
        rows_removed=count("deleted-records", "added-position-deletes"),
        files_added=count("added-data-files", "added-delete-files"),
        files_removed=count("deleted-data-files", "removed-delete-files"),
        rows=live_rows(snapshot),
        state=state,
        refs=tuple(refs),
        says={
            key.removeprefix(OWN): value for key, value in told.items() if key.startswith(OWN) and key != OWN + _TOKEN
        },
    )


def live_rows(snapshot: Snapshot) -> int | None:
    """Rows of the table at this snapshot: those in its files without those that are deleted by position."""
    told = properties_of(snapshot)
    total = told.get("total-records")
    return None if total is None else int(total) - int(told.get("total-position-deletes", 0))


def description(table: Table) -> dict[str, Any]:
    """Columns, partitions, order, properties, size and the newest snapshot, as plain values."""
    head = head_id(table)
    newest = None if head is None else table.metadata.snapshot_by_id(head)
    schema = table.schema()
    return {
        "table": table_name(table),
        "location": table.location(),
        "format_version": table.metadata.format_version,
        "columns": [
            {"name": f.name, "type": str(f.field_type), "required": f.required, "description": f.doc or ""}
            for f in schema.fields
        ],
        "partitions": [f"{f.transform} of {schema.find_column_name(f.source_id)}" for f in table.spec().fields],
        "order": [f"{schema.find_column_name(f.source_id)} {f.direction}" for f in table.sort_order().fields],
        "properties": dict(sorted(table.properties.items())),
        "size": _size(newest),
        "snapshots": len(table.metadata.snapshots),
        "newest": newest and {"snapshot_id": newest.snapshot_id, "committed_at": time_of(newest).isoformat()},
        "refs": {name: reference.snapshot_id for name, reference in sorted(table.metadata.refs.items())},
    }


def _size(newest: Snapshot | None) -> dict[str, int | None]:
    """By the newest summary; an empty table has nothing, and None means that the summary does not say."""
    if newest is None:
        return {"rows": 0, "data_files": 0, "delete_files": 0, "bytes": 0}
    told = properties_of(newest)
    keys = {"data_files": "total-data-files", "delete_files": "total-delete-files", "bytes": "total-files-size"}
    return {"rows": live_rows(newest)} | {name: int(told[key]) if key in told else None for name, key in keys.items()}
