"""What differs between two snapshots: rows per partition, and columns.

Only files that one snapshot has and the other has not (or that have other deletes) are looked at, and read only where
both have such: a table that was only appended to costs its metadata. Rows are compared by all their values, so
compaction, which writes the same rows into other files, is no difference. A row that was changed counts as one removed
and one added. One partition at a time is held in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class PartitionDifference:
    """Rows of one partition (`""` in a table without partitions) that only the later, or only the earlier one has."""

    partition: str
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class ColumnDifference:
    """A column that was `added`, `dropped`, `renamed`, `retyped`, or made `optional` or `required`."""

    column: str
    change: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs; nothing where both are empty."""

    partitions: tuple[PartitionDifference, ...]
    columns: tuple[ColumnDifference, ...]

    @property
    def added(self) -> int:
        """Rows that only the later snapshot has."""
        return sum(one.added for one in self.partitions)

    @property
    def removed(self) -> int:
        """Rows that only the earlier snapshot has."""
        return sum(one.removed for one in self.partitions)


def difference(table: Table, before: Snapshot, after: Snapshot) -> Difference:
    """What came and went from `before` to `after`. A column that only `after` has counts as null in `before`."""
    files = [_files(table, snapshot) for snapshot in (before, after)]
    gone, come = (
        _by_partition(table, (task for key, task in one.items() if key not in other))
        for one, other in (files, files[::-1])
    )
    schema = schema_of(table, after)
    found = [_compared(table, schema, p, gone.get(p, []), come.get(p, [])) for p in sorted({*gone, *come})]
    return Difference(
        tuple(one for one in found if one.added or one.removed),
        tuple(column_differences(schema_of(table, before), schema)),
    )


def schema_of(table: Table, snapshot: Snapshot) -> Schema:
    """The columns as they were when the snapshot was committed."""
    known = table.schemas()
    return known.get(snapshot.schema_id, table.schema()) if snapshot.schema_id is not None else table.schema()


def column_differences(before: Schema, after: Schema) -> Iterable[ColumnDifference]:
    """By the columns' ids, so that a renamed one is seen as such."""
    old, new = ({field.field_id: field for field in schema.fields} for schema in (before, after))
    for field_id in sorted({*old, *new}):
        was, now = old.get(field_id), new.get(field_id)
        if was is None and now is not None:
            yield ColumnDifference(now.name, "added", None, str(now.field_type))
        elif now is None and was is not None:
            yield ColumnDifference(was.name, "dropped", str(was.field_type), None)
        elif was is not None and now is not None:
            if was.name != now.name:
                yield ColumnDifference(now.name, "renamed", was.name, now.name)
            if was.field_type != now.field_type:
                yield ColumnDifference(now.name, "retyped", str(was.field_type), str(now.field_type))
            if was.required != now.required:
                change = "required" if now.required else "optional"
                yield ColumnDifference(now.name, change, None, None)


def _files(table: Table, snapshot: Snapshot) -> dict[tuple[str, frozenset[str]], FileScanTask]:
    """The data files of a snapshot, each with the deletes that hold for it."""
    tasks = table.scan(snapshot_id=snapshot.snapshot_id).plan_files()
    return {(task.file.file_path, frozenset(d.file_path for d in task.delete_files)): task for task in tasks}


def _by_partition(table: Table, tasks: Iterable[FileScanTask]) -> dict[str, list[FileScanTask]]:
    found: dict[str, list[FileScanTask]] = {}
    for task in tasks:
        spec = table.specs()[task.file.spec_id]
        found.setdefault(spec.partition_to_path(task.file.partition, table.schema()), []).append(task)
    return found


def _compared(
    table: Table, schema: Schema, partition: str, gone: Sequence[FileScanTask], come: Sequence[FileScanTask]
) -> PartitionDifference:
    if not (gone and come):
        return PartitionDifference(partition, _rows(table, schema, come), _rows(table, schema, gone))
    import duckdb

    before, after = _read(table, schema, gone), _read(table, schema, come)
    with duckdb.connect() as connection:
        connection.register("before", before)
        connection.register("after", after)
        counted = connection.execute("SELECT count(*) FROM (FROM after EXCEPT ALL FROM before)").fetchone()
    added = int(counted[0]) if counted else 0
    return PartitionDifference(partition, added, before.num_rows - (after.num_rows - added))


def _rows(table: Table, schema: Schema, tasks: Sequence[FileScanTask]) -> int:
    """How many rows the files hold; only those with deletes are read."""
    plain = sum(task.file.record_count for task in tasks if not task.delete_files)
    deleted_from = [task for task in tasks if task.delete_files]
    return plain + (_read(table, schema, deleted_from).num_rows if deleted_from else 0)


def _read(table: Table, schema: Schema, tasks: Sequence[FileScanTask]) -> pa.Table:
    return ArrowScan(table.metadata, table.io, schema, AlwaysTrue()).to_table(tasks)
