"""The tables of the live follower in ClickHouse: the dataset's own, the positions, and the views over them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.contracts.clickhouse import create_table_sql
from headwater.contracts.model import Dataset
from headwater.errors import RetryableError, TerminalError
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
    table_uuid  String COMMENT 'The live table it speaks of: one that was made anew has no position',
    token       UInt64 COMMENT 'The writer of the stream that recorded it; one with a lower token is refused'
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY dataset
COMMENT 'How far each live table has followed bronze'
"""
RECORD = """
INSERT INTO platform.live_positions (dataset, snapshot_id, topic_id, offsets, updated_at, table_uuid, token)
SELECT {dataset:String}, {snapshot:Int64}, {topic:String}, {offsets:String}, now64(6, 'UTC'), {table:String},
       {token:UInt64}
WHERE {token:UInt64} >= (SELECT max(token) FROM platform.live_positions WHERE dataset = {dataset:String})
"""

AFTERWARDS = """
SELECT (SELECT max(token) FROM platform.live_positions WHERE dataset = {dataset:String}),
       (SELECT toString(any(uuid)) FROM system.tables WHERE database = 'live' AND name = {dataset:String})
"""


class PositionTaken(TerminalError):
    """Another writer's follower has recorded a position: this one may not record any more."""


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
    for column in ("table_uuid String", "token UInt64"):
        client.command(f"ALTER TABLE platform.live_positions ADD COLUMN IF NOT EXISTS {column}")


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


def valid_token(client: Client, dataset: str) -> int:
    """The highest token under which a position of the stream was recorded; 0 where none was."""
    asked = "SELECT max(token) FROM platform.live_positions WHERE dataset = {dataset:String}"
    return int(client.query(asked, parameters={"dataset": dataset}).result_rows[0][0])


def write_position(client: Client, dataset: str, position: LivePosition, table: str, token: int) -> None:
    """Record a position in the live table with the id `table`, for the writer with `token`; the newest counts.

    One statement compares and records, by ClickHouse's own clock: a writer that was stopped just before it and resumes
    cannot take the position back. Raises `PositionTaken` where a writer with a higher token has recorded one, and
    `RetryableError` where the table is another by now: of that one the position says nothing.
    """
    row = {"dataset": dataset, "table": table, "token": token, "snapshot": position.snapshot_id}
    row |= {"topic": position.topic_id, "offsets": json.dumps(position.offsets)}
    client.command(RECORD, parameters=row)
    valid, there = client.query(AFTERWARDS, parameters={"dataset": dataset}).result_rows[0]
    if valid > token:
        raise PositionTaken(
            f"fenced out: writer {token} was followed by writer {valid}",
            where=f"live.{dataset}",
            remedy="nothing to do: the other one goes on from the recorded position",
        )
    if there != table:
        raise RetryableError("the table was made anew meanwhile; the next attempt fills it", where=f"live.{dataset}")
