"""What an answer rests on: per dataset the Iceberg snapshot that ClickHouse shows, how fresh it is, and the SQL.

Snapshots are read from `platform.loads`, which a load writes after its last swap. A table that no load has recorded is
named with empty evidence rather than left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from clickhouse_connect.driver.client import Client

from headwater.warehouse.state import LOADS


@dataclass(frozen=True, slots=True)
class LoadedTable:
    """What was last loaded into one ClickHouse table. Times are ISO 8601 in UTC; `age_seconds` counts from the load."""

    iceberg_table: str
    snapshot_id: str  # as text: JSON's numbers do not hold 64 bits
    loaded_at: str
    age_seconds: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Per table what it was loaded from (None: no load on record), and the SQL that gives the rows again."""

    sql: str
    tables: Mapping[str, LoadedTable | None] = field(default_factory=dict)


def loaded_tables(client: Client) -> dict[str, LoadedTable]:
    """The newest load of every gold table, by its ClickHouse name."""
    if not client.command(f"EXISTS TABLE {LOADS}"):
        return {}
    newest = client.query(
        f"SELECT dataset, argMax(snapshot_id, loaded_at), max(loaded_at) FROM {LOADS} GROUP BY dataset"  # noqa: S608
    )
    return {f"gold.{dataset}": _loaded(dataset, snapshot, at) for dataset, snapshot, at in newest.result_rows}


def evidence_of(client: Client, tables: Sequence[str], sql: str) -> Evidence:
    """The evidence of an answer over these tables (`gold.<dataset>` or `live.<dataset>`)."""
    loaded = loaded_tables(client)
    return Evidence(sql=sql, tables={table: loaded.get(table) for table in tables})


def _loaded(dataset: str, snapshot_id: int, at: datetime) -> LoadedTable:
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return LoadedTable(
        iceberg_table=f"lake.gold.{dataset}",
        snapshot_id=str(snapshot_id),
        loaded_at=at.isoformat(timespec="seconds"),
        age_seconds=max(0, round((datetime.now(UTC) - at).total_seconds())),
    )
