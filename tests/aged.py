"""A table that seems older than it is: its snapshots are moved back in time, in the catalog of a test."""

from __future__ import annotations

import json
import os
import time
import uuid
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlparse

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table
from sqlalchemy import text


def local(uri: str) -> Path:
    """The path of a file:// URI."""
    return Path(urlparse(uri).path)


def age(catalog: SqlCatalog, name: str, by: timedelta) -> Table:
    """Move all times of the table's metadata back; returns the table as it is then."""
    table = catalog.load_table(name)
    known, shift = json.loads(local(table.metadata_location).read_text()), int(by.total_seconds() * 1000)
    known["last-updated-ms"] -= shift
    for snapshot in known["snapshots"]:
        snapshot["timestamp-ms"] -= shift
    for log in ("snapshot-log", "metadata-log"):
        for entry in known[log]:
            entry["timestamp-ms"] -= shift
    before = table.metadata_location
    version = int(before.rsplit("/", 1)[1].split("-")[0]) + 1
    after = f"{before.rsplit('/', 1)[0]}/{version:05d}-{uuid.uuid4()}.metadata.json"
    local(after).write_text(json.dumps(known))
    with catalog.engine.begin() as connection:
        values = {"before": before, "after": after}
        update = "UPDATE iceberg_tables SET metadata_location = :after WHERE metadata_location = :before"
        assert connection.execute(text(update), values).rowcount == 1
    return catalog.load_table(name)


def age_file(path: Path, by: timedelta) -> None:
    """Move a file's time of change back."""
    then = time.time() - by.total_seconds()
    os.utime(path, (then, then))
