"""Gold tables as an outsider reads them: from the lake with PyIceberg, from the warehouse with clickhouse-connect."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from headwater.lake.catalog import get_catalog
from headwater.warehouse import client

Reader = Callable[[str], pa.Table]


def from_iceberg(name: str) -> pa.Table:
    """All rows of `lake.gold.<name>` on its main branch."""
    return get_catalog().load_table(("gold", name)).scan().to_arrow()


def from_clickhouse(name: str) -> pa.Table:
    """All rows of `gold.<name>` in ClickHouse; as the writer, since a reader's result is limited."""
    warehouse = client.writer()
    try:
        return warehouse.query_arrow(f"SELECT * FROM gold.{name}", use_strings=True)
    finally:
        warehouse.close()


READERS: dict[str, Reader] = {"iceberg": from_iceberg, "clickhouse": from_clickhouse}
"""Both places where gold lies; they must hold the same."""
