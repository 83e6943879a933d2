"""Which gold snapshots the warehouse shows, in two tables of ClickHouse.

`platform.loads` has one row per dataset and load, written in one insert after the last swap. A row holds the ClickHouse
table's own id as well: a table that was dropped or swapped since then is another table, and what was recorded does not
count for it. `platform.shown` has one row per dataset: what it shows, when that was last seen to be the lake's newest,
and what the checks said of it, so that whoever may only read the warehouse can tell how far to trust an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from clickhouse_connect.driver.client import Client

LOADS = "platform.loads"

CREATE = f"""
CREATE TABLE IF NOT EXISTS {LOADS}
(
    load_id String COMMENT 'Rows of one load belong together: their snapshots agree',
    domain LowCardinality(String),
    dataset LowCardinality(String),
    snapshot_id Int64 COMMENT 'Iceberg snapshot of lake.gold.<dataset> that the table shows',
    table_uuid UUID COMMENT 'The ClickHouse table that was loaded',
    rows UInt64 COMMENT 'Rows that this load wrote',
    replaced String COMMENT 'Dates that this load replaced',
    loaded_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (dataset, loaded_at)
SETTINGS non_replicated_deduplication_window = 100
"""

SHOWN = "platform.shown"

CREATE_SHOWN = f"""
CREATE TABLE IF NOT EXISTS {SHOWN}
(
    dataset LowCardinality(String),
    snapshot_id Int64 COMMENT 'Iceberg snapshot of lake.gold.<dataset> that the table shows',
    snapshot_at DateTime64(3, 'UTC') COMMENT 'When that snapshot was committed',
    seen_at DateTime64(3, 'UTC') COMMENT 'When it was last seen to be the newest',
    judged_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the quality rules were last checked',
    quality String COMMENT 'JSON: the outcome of each quality rule'
)
ENGINE = ReplacingMergeTree(seen_at)
ORDER BY dataset
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """One dataset as the warehouse shows it. `quality` is JSON, a list of {rule, severity, passed, expected, found}."""

    dataset: str
    snapshot_id: int
    snapshot_at: datetime
    seen_at: datetime
    judged_at: datetime | None
    quality: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """One dataset as a load left it."""

    dataset: str
    domain: str
    snapshot_id: int
    table_uuid: str
    rows: int
    replaced: str


def ensure_state(client: Client) -> None:
    """Create both tables, where they are not there."""
    client.command("CREATE DATABASE IF NOT EXISTS platform")
    client.command(CREATE)
    client.command(CREATE_SHOWN)


def last_snapshots(client: Client) -> dict[str, tuple[int, str]]:
    """Per dataset the snapshot last loaded and the id of the table it went into."""
    query = f"SELECT dataset, argMax((snapshot_id, toString(table_uuid)), loaded_at) FROM {LOADS} GROUP BY dataset"  # noqa: S608
    return {dataset: (int(last[0]), str(last[1])) for dataset, last in client.query(query).result_rows}


def record(client: Client, load_id: str, loaded: Iterable[Loaded]) -> None:
    """Write down a load that is complete, in one insert."""
    now = datetime.now(UTC)
    rows = [(load_id, x.domain, x.dataset, x.snapshot_id, x.table_uuid, x.rows, x.replaced, now) for x in loaded]
    names = ["load_id", "domain", "dataset", "snapshot_id", "table_uuid", "rows", "replaced", "loaded_at"]
    client.insert(LOADS, rows, column_names=names, settings={"insert_deduplication_token": load_id})


def show(client: Client, shown: Iterable[Shown]) -> None:
    """Write down what the warehouse shows now."""
    names = [field.name for field in fields(Shown)]
    rows = [[getattr(one, name) for name in names] for one in shown]
    if rows:
        client.insert(SHOWN, rows, column_names=names)
