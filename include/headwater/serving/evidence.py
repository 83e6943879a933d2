"""What an answer rests on: per table the Iceberg snapshot that ClickHouse shows, how fresh it is, what the checks said.

Read from ClickHouse alone, where loads and followers write it (`platform.shown`, `platform.live_positions`). A table
that none of them has recorded is named with empty evidence rather than left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.client import Client

from headwater.warehouse.state import SHOWN

LIVE_POSITIONS = "platform.live_positions"


@dataclass(frozen=True, slots=True)
class Applied:
    """What the policy did to an answer: its version, the role, per table the predicate and the masked columns."""

    version: str
    role: str
    rows: Mapping[str, str]
    masked: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Quality:
    """The newest check of the rules: when (ISO 8601, UTC), whether no error was found, what broke, of how many."""

    judged_at: str
    passed: bool
    broken_rules: tuple[str, ...]
    rules: int


@dataclass(frozen=True, slots=True)
class LoadedTable:
    """What one ClickHouse table shows. Times are ISO 8601 in UTC.

    `snapshot_at` is when the shown rows were committed to the lake, `as_of` when the lake was last seen to have nothing
    newer, `age_seconds` the time since then. `quality` is None where nothing was ever checked.
    """

    iceberg_table: str
    snapshot_id: str  # as text: JSON's numbers do not hold 64 bits
    snapshot_at: str
    as_of: str
    age_seconds: int
    quality: Quality | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Per table what it shows (None: nothing on record), what the policy did, the SQL that gives the rows again."""

    sql: str
    tables: Mapping[str, LoadedTable | None] = field(default_factory=dict)
    policy: Applied | None = None


def loaded_tables(client: Client) -> dict[str, LoadedTable]:
    """What every gold and live table shows, by its ClickHouse name."""
    return {**_gold(client), **_live(client)}


def evidence_of(client: Client, tables: Sequence[str], sql: str) -> Evidence:
    """The evidence of an answer over these tables (`gold.<dataset>` or `live.<dataset>`)."""
    loaded = loaded_tables(client)
    return Evidence(sql=sql, tables={table: loaded.get(table) for table in tables})


def outcomes(client: Client, dataset: str) -> list[dict[str, Any]]:
    """Each quality rule's newest outcome: {rule, severity, passed, expected, found}."""
    if not client.command(f"EXISTS TABLE {SHOWN}"):
        return []
    sql = f"SELECT quality FROM {SHOWN} FINAL WHERE dataset = {{dataset:String}}"  # noqa: S608
    rows = client.query(sql, parameters={"dataset": dataset}).result_rows
    return json.loads(rows[0][0]) if rows else []


def _gold(client: Client) -> dict[str, LoadedTable]:
    if not client.command(f"EXISTS TABLE {SHOWN}"):
        return {}
    rows = client.query(
        f"SELECT dataset, snapshot_id, snapshot_at, seen_at, judged_at, quality FROM {SHOWN} FINAL"  # noqa: S608
    ).result_rows
    return {
        f"gold.{dataset}": _table(f"gold.{dataset}", snapshot, committed, seen, _quality(judged, json.loads(quality)))
        for dataset, snapshot, committed, seen, judged, quality in rows
    }


def _live(client: Client) -> dict[str, LoadedTable]:
    """Live tables show what bronze had at the follower's last step; their rules are checked row by row, in silver."""
    if not client.command(f"EXISTS TABLE {LIVE_POSITIONS}"):
        return {}
    rows = client.query(
        f"SELECT dataset, argMax(snapshot_id, updated_at), max(updated_at) FROM {LIVE_POSITIONS} GROUP BY dataset"  # noqa: S608
    ).result_rows
    return {f"live.{name}": _table(f"bronze.{name}", snapshot, at, at, None) for name, snapshot, at in rows}


def _table(name: str, snapshot: int, committed: datetime, seen: datetime, quality: Quality | None) -> LoadedTable:
    age = datetime.now(UTC) - _utc(seen)
    return LoadedTable(
        iceberg_table=f"lake.{name}",
        snapshot_id=str(snapshot),
        snapshot_at=_iso(committed),
        as_of=_iso(seen),
        age_seconds=max(0, round(age.total_seconds())),
        quality=quality,
    )


def _quality(judged: datetime | None, results: Sequence[Mapping[str, Any]]) -> Quality | None:
    if judged is None:
        return None
    broken = tuple(result["rule"] for result in results if not result["passed"])
    errors = any(not result["passed"] and result["severity"] == "error" for result in results)
    return Quality(judged_at=_iso(judged), passed=not errors, broken_rules=broken, rules=len(results))


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _iso(at: datetime) -> str:
    return _utc(at).isoformat(timespec="seconds")
