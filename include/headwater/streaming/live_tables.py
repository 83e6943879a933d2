"""The tables of the live follower in ClickHouse: the dataset's own, the positions, and the views over them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headwater.contracts.clickhouse import create_table_sql
from headwater.contracts.model import Dataset
from headwater.streaming.live_views import LiveView
from headwater.warehouse.ddl import table_uuid

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

POSITIONS = """
CREATE TABLE IF NOT EXISTS platform.live_positions
(
    dataset     LowCardinality(String) COMMENT 'The stream',
    snapshot_id Int64 COMMENT 'Snapshot of bronze that is in the live table, and all before it',
    topic_id    String COMMENT 'Topic the offsets belong to',
    offsets     String COMMENT 'JSON: next offset per partition after that snapshot',
    updated_at  DateTime64(6, 'UTC'),
    table_uuid  String COMMENT 'The live table it speaks of: one that was made anew has no position'
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY dataset
COMMENT 'How far each live table has followed bronze'
"""


@dataclass(frozen=True, slots=True)
class LivePosition:
    """Up to where bronze is in the live table."""

    snapshot_id: int
    topic_id: str
    offsets: dict[int, int]


def ensure_tables(client: Client, dataset: Dataset) -> None:
    """Create the tables that are missing."""
    for database in ("live", "platform"):
        client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    client.command(create_table_sql(dataset, dataset.live))
    client.command(POSITIONS)
    client.command("ALTER TABLE platform.live_positions ADD COLUMN IF NOT EXISTS table_uuid String")


def make_views(client: Client, views: Sequence[LiveView]) -> tuple[LiveView, ...]:
    """Make the views, or bring them up to their files; those are returned that wait for a table they read."""
    waiting = []
    for view in views:
        if all(client.command(f"EXISTS TABLE {table}") for table in view.tables):
            client.command(view.statement)
        else:
            waiting.append(view)
    return tuple(waiting)


def live_uuid(client: Client, dataset: str) -> str:
    """The id of the live table that is there; a table that was dropped and made again has another."""
    return table_uuid(client, "live", dataset)


def read_position(client: Client, dataset: str) -> LivePosition | None:
    """The recorded position; None where nothing was ever taken into the table that is there now."""
    rows = client.query(
        "SELECT snapshot_id, topic_id, offsets FROM platform.live_positions "
        "WHERE dataset = {dataset:String} AND table_uuid = {table:String} ORDER BY updated_at DESC LIMIT 1",
        parameters={"dataset": dataset, "table": live_uuid(client, dataset)},
    ).result_rows
    if not rows:
        return None
    snapshot_id, topic_id, offsets = rows[0]
    return LivePosition(int(snapshot_id), topic_id, {int(p): int(n) for p, n in json.loads(offsets).items()})


def write_position(client: Client, dataset: str, position: LivePosition, table: str) -> None:
    """Record a position in the live table with the id `table`; the newest counts."""
    row = {
        "dataset": dataset,
        "snapshot_id": position.snapshot_id,
        "topic_id": position.topic_id,
        "offsets": json.dumps(position.offsets),
        "updated_at": datetime.now(UTC),
        "table_uuid": table,
    }
    client.insert("platform.live_positions", [list(row.values())], column_names=list(row))
