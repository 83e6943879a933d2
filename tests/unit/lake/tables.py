"""Iceberg tables on local files with a catalog in memory, for tests of what metadata says. No JVM, no services."""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestWriterV2
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _FastAppendFiles
from pyiceberg.typedef import Record


def new_catalog(folder: Path) -> SqlCatalog:
    """A catalog below a folder, with the namespaces of the lake."""
    catalog = SqlCatalog("lake", uri="sqlite:///:memory:", warehouse=folder.as_uri())
    for namespace in ("bronze", "silver", "gold"):
        catalog.create_namespace(namespace)
    return catalog


def append(table: Table, ids: list[int], **properties: str) -> int:
    """Append rows in one snapshot; returns its id."""
    table.append(pa.table({"id": pa.array(ids, pa.int64())}), snapshot_properties=properties)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return snapshot.snapshot_id


DELETES = pa.schema(
    [
        pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": "2147483546"}),
        pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": "2147483545"}),
    ]
)


class _DeleteManifest(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _AppendDeletes(_FastAppendFiles):
    def new_manifest_writer(self, spec):
        output = self.new_manifest_output()
        return _DeleteManifest(spec, self._transaction.table_metadata.schema(), output, self._snapshot_id, "null")


def delete_positions(table: Table, data_file: str, positions: list[int]) -> int:
    """Delete rows of a file by position, as Spark's merge-on-read does (PyIceberg writes none); the snapshot's id.

    Only for tables without partitions.
    """
    path = f"{table.location()}/data/{uuid.uuid4().hex}-deletes.parquet"
    rows = pa.table({"file_path": [data_file] * len(positions), "pos": positions}, DELETES)
    with table.io.new_output(path).create() as stream:
        pq.write_table(rows, stream)
    size = len(table.io.new_input(path))
    file = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=len(positions),
        file_size_in_bytes=size,
    )
    file.spec_id = table.spec().spec_id
    with (
        table.transaction() as transaction,
        _AppendDeletes(operation=Operation.OVERWRITE, transaction=transaction, io=table.io) as change,
    ):
        change.append_data_file(file)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return snapshot.snapshot_id
