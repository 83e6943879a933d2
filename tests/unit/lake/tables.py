"""Iceberg tables on local files with a catalog in memory, for tests of what metadata says. No JVM, no services."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table


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
