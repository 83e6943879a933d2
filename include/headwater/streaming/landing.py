"""Rows that a replay puts into bronze: files of each partition, then one append whose outcome is always known."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import schema_to_pyarrow, write_file
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey, partition_record_value
from pyiceberg.table import Table, WriteTask

from headwater.errors import RetryableError
from headwater.lake.catalog import get_catalog
from headwater.lake.snapshots import ancestry, properties_of

REPLAY = "headwater.replay"
"""Summary key: which replay appended the snapshot's rows, by the `run` of its attempts."""
ROWS_AT_ONCE = 10_000
"""So many rows are held before they are written: a repaired row is small, and a replay is hardly ever larger."""


class Landing:
    """Rows on their way into one table. PyIceberg's own append of a table by day wants its Rust part; this does not."""

    def __init__(self, table: Table, run: str) -> None:
        self.table = table
        self._name = ".".join(table.name()[-2:])
        self._run = run
        self._held: defaultdict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
        self._keys: dict[tuple[Any, ...], PartitionKey] = {}
        self._files: list[DataFile] = []
        self._count = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """A row with the table's columns."""
        key = self._key(row)
        self._keys.setdefault(_values(key), key)
        self._held[_values(key)].append(row)
        self._count += 1
        if self._count % ROWS_AT_ONCE == 0:
            self._write()

    def commit(self) -> int | None:
        """Append all rows in one snapshot, and return it; None where there are none.

        PyIceberg tries again by itself when another writer was faster. Raises `RetryableError` where it gave up; then
        the rows are not there.
        """
        self._write()
        if not self._files:
            return None
        try:
            with (
                self.table.transaction() as transaction,
                transaction.update_snapshot(snapshot_properties={REPLAY: self._run}).fast_append() as append,
            ):
                for file in self._files:
                    append.append_data_file(file)
        except CommitFailedException as error:
            what, remedy = "another writer changed the table in each try", "run the replay again"
            raise RetryableError(what, where=self._name, remedy=remedy) from error
        except Exception:
            # A catalog that committed and then lost its answer: the table says.
            if self._snapshot() is None:
                raise
        return self._snapshot()

    def _snapshot(self) -> int | None:
        for snapshot in ancestry(get_catalog().load_table(self._name)):
            if properties_of(snapshot).get(REPLAY) == self._run:
                return snapshot.snapshot_id
        return None

    def _key(self, row: Mapping[str, Any]) -> PartitionKey:
        spec, schema = self.table.spec(), self.table.schema()
        values = []
        for field in spec.fields:
            source = schema.find_field(field.source_id)
            value = partition_record_value(field, row[source.name], schema)
            values.append(PartitionFieldValue(field, field.transform.transform(source.field_type)(value)))
        return PartitionKey(values, spec, schema)

    def _write(self) -> None:
        """Write what is held, a file for each partition."""
        schema = schema_to_pyarrow(self.table.schema(), include_field_ids=False)
        tasks = [
            WriteTask(
                uuid.uuid4(),
                number,
                self.table.schema(),
                pa.Table.from_pylist([dict(row) for row in rows], schema=schema).to_batches(),
                partition_key=self._keys[partition],
            )
            for number, (partition, rows) in enumerate(self._held.items())
        ]
        self._files += write_file(self.table.io, self.table.metadata, iter(tasks))
        self._held.clear()


def _values(key: PartitionKey) -> tuple[Any, ...]:
    return tuple(key.partition[position] for position in range(len(key.partition)))
