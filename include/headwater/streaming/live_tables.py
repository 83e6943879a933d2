"""The tables of the live follower in ClickHouse: the dataset's own, the positions, and the views over them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headwater.contracts.clickhouse import create_table_sql
from headwater.contracts.model import Dataset

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

POSITIONS = """
CREATE TABLE IF NOT EXISTS platform.live_positions
(
    dataset     LowCardinality(String) COMMENT 'The stream',
    snapshot_id Int64 COMMENT 'Snapshot of bronze that is in the live table, and all before it',
    topic_id    String COMMENT 'Topic the offsets belong to',
    offsets     String COMMENT 'JSON: next offset per partition after that snapshot',
    updated_at  DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY dataset
COMMENT 'How far each live table has followed bronze'
"""

SALES_PER_MINUTE = """
CREATE OR REPLACE VIEW live.sales_per_minute AS
SELECT
    toStartOfMinute(sale.event_timestamp) AS minute,
    sale.store_id AS store_id,
    if(product.department = '', '(unknown)', product.department) AS department,
    count() AS lines,
    uniqExact(sale.basket_id) AS baskets,
    sum(sale.quantity) AS quantity,
    sum(sale.sales_value) AS sales_value
FROM
(
    SELECT event_timestamp, store_id, basket_id, product_id, quantity, sales_value
    FROM live.transactions FINAL
    WHERE _ingested_at >= now() - INTERVAL 1 DAY
) AS sale
LEFT JOIN
(
    SELECT product_id, any(ifNull(department, '')) AS department
    FROM gold.dim_product
    WHERE is_current
    GROUP BY product_id
) AS product ON sale.product_id = product.product_id
GROUP BY minute, store_id, department
"""
"""What arrived within the last day. FINAL collapses repeats at query time, so a late repeat never counts twice."""

VIEWS = {"transactions": ("gold.dim_product", SALES_PER_MINUTE)}
"""Views over a live table, each with the table it needs beside it."""


@dataclass(frozen=True, slots=True)
class LivePosition:
    """Up to where bronze is in the live table."""

    snapshot_id: int
    topic_id: str
    offsets: dict[int, int]


def ensure_tables(client: Client, dataset: Dataset) -> None:
    """Create what is missing. A view whose other table is not there yet is made at the next call."""
    for database in ("live", "platform"):
        client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    client.command(create_table_sql(dataset, dataset.live))
    client.command(POSITIONS)
    if dataset.name in VIEWS:
        needed, view = VIEWS[dataset.name]
        if client.command(f"EXISTS TABLE {needed}"):
            client.command(view)


def read_position(client: Client, dataset: str) -> LivePosition | None:
    """The recorded position; None where nothing was ever taken."""
    rows = client.query(
        "SELECT snapshot_id, topic_id, offsets FROM platform.live_positions "
        "WHERE dataset = {dataset:String} ORDER BY updated_at DESC LIMIT 1",
        parameters={"dataset": dataset},
    ).result_rows
    if not rows:
        return None
    snapshot_id, topic_id, offsets = rows[0]
    return LivePosition(int(snapshot_id), topic_id, {int(p): int(n) for p, n in json.loads(offsets).items()})


def write_position(client: Client, dataset: str, position: LivePosition) -> None:
    """Record a position; the newest counts."""
    row = [dataset, position.snapshot_id, position.topic_id, json.dumps(position.offsets), datetime.now(UTC)]
    columns = ["dataset", "snapshot_id", "topic_id", "offsets", "updated_at"]
    client.insert("platform.live_positions", [row], column_names=columns)
