"""What an answer rests on: per table the Iceberg snapshot that ClickHouse shows, how fresh it is, what the checks said.

Read from ClickHouse alone, where loads and followers write it (`platform.shown`, `platform.live_positions`). A table
that none of them has recorded is named with empty evidence rather than left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

from headwater.contracts.model import Answer, Contracts
from headwater.errors import TerminalError
from headwater.serving.fresh import Fresh
from headwater.serving.warehouse import Warehouse
from headwater.settings import Settings
from headwater.warehouse.state import SHOWN

LIVE_POSITIONS = "platform.live_positions"
HOLDS_SECONDS = 1.0
ROWS_HOLD_SECONDS = 5.0
_GOLD = f"""
SELECT 'gold.' || dataset AS name, 'gold.' || dataset AS iceberg, toString(snapshot_id) AS snapshot,
    snapshot_at AS committed, seen_at AS seen, judged_at AS judged, quality FROM {SHOWN} FINAL"""  # noqa: S608 - constants
_LIVE = f"""
SELECT 'live.' || dataset, 'bronze.' || dataset, toString(argMax(snapshot_id, updated_at)), max(updated_at),
    max(updated_at), NULL, '[]' FROM {LIVE_POSITIONS} GROUP BY dataset"""  # noqa: S608 - constants
_PROBES = {
    SHOWN: f"SELECT count(), max(seen_at) FROM {SHOWN}",  # noqa: S608 - constants
    LIVE_POSITIONS: f"SELECT count(), max(updated_at) FROM {LIVE_POSITIONS}",  # noqa: S608 - constants
}
"""Whether anything was written since; a third of the CPU of reading it."""
_READS = {SHOWN: _GOLD, LIVE_POSITIONS: _LIVE}
_ONE_THREAD = {"max_threads": "1"}
"""A second one costs more than it saves on a few rows."""
_KEPT_IN = {"gold": SHOWN, "live": LIVE_POSITIONS}
_State = dict[str, tuple["LoadedTable", datetime, str]]
_ROWS = "SELECT database || '.' || name, total_rows FROM system.tables WHERE database IN ('gold', 'live')"


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
    newer, `age_seconds` the time since then, `stale` whether that is more than the contract's freshness. `quality` is
    None where nothing was ever checked.
    """

    iceberg_table: str
    snapshot_id: str  # as text: JSON's numbers do not hold 64 bits
    snapshot_at: str
    as_of: str
    age_seconds: int
    stale: bool
    quality: Quality | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Per table what it shows (None: nothing on record), what the policy did, the SQL that gives the rows again.

    `rows_read` and `bytes_read` are told only where the role sees every row of every table, as otherwise they would
    count rows that are kept back; elsewhere they are None.
    """

    sql: str
    tables: Mapping[str, LoadedTable | None] = field(default_factory=dict)
    policy: Applied | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rows_read: int | None = None
    bytes_read: int | None = None
    truncated: bool = False
    warnings: tuple[str, ...] = ()


class DataRefused(TerminalError):
    """The contract wants no answers from data in this state."""


class Shown:
    """What every table shows, read from the platform's own records; thread-safe, one per process."""

    def __init__(self, settings: Settings, contracts: Contracts, warehouse: Warehouse) -> None:
        self._login = {
            "X-ClickHouse-User": settings.clickhouse_reader_user,
            "X-ClickHouse-Key": settings.clickhouse_reader_password.get_secret_value(),
        }
        self._warehouse = warehouse
        self._contracts = contracts
        self._there: frozenset[str] = frozenset()
        self._probed: dict[str, tuple[list[list[Any]], _State]] = {}
        self._state = {table: Fresh(partial(self._read, table)) for table in _PROBES}
        self._rows = Fresh(self._read_rows)

    def recent(self) -> Mapping[str, LoadedTable]:
        """What they showed at most a second ago, by `<database>.<dataset>`."""
        return self._aged(*(state.recent(HOLDS_SECONDS) for state in self._state.values()))

    def newer(self, tables: Sequence[str]) -> Mapping[str, LoadedTable]:
        """What these tables show now: read after this call began."""
        kept = {_KEPT_IN[name.partition(".")[0]] for name in tables}
        return self._aged(*(self._state[table].newer() for table in sorted(kept)))

    def outcomes(self, dataset: str) -> list[dict[str, Any]]:
        """Each quality rule's newest outcome: {rule, severity, passed, expected, found}."""
        found = self._state[SHOWN].recent(HOLDS_SECONDS).get(f"gold.{dataset}")
        return json.loads(found[2]) if found else []

    def rows(self) -> Mapping[str, int]:
        """Rows by table, as the engine counts its parts, seconds ago; a repeat that is not merged away yet counts."""
        return self._rows.recent(ROWS_HOLD_SECONDS)

    def ask(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[list[Any]]:
        """Rows of the platform's own tables, as the reader, who sees everything: never with text of an asker in it."""
        return self._warehouse.ask(self._login, sql, parameters, _ONE_THREAD).rows

    def _aged(self, *states: _State) -> dict[str, LoadedTable]:
        now = datetime.now(UTC)
        found = {}
        for name, (table, seen, _) in (item for state in states for item in state.items()):
            age = max(0, round((now - seen).total_seconds()))
            dataset = self._contracts.datasets.get(name.partition(".")[2])
            allowed = (dataset.freshness_seconds or dataset.latency_seconds) if dataset else None
            found[name] = replace(table, age_seconds=age, stale=allowed is not None and age > allowed)
        return found

    def _read(self, table: str) -> _State:
        if table not in self._there:
            names = self.ask("SELECT database || '.' || name FROM system.tables WHERE database = 'platform'")
            self._there = frozenset(name for (name,) in names) & set(_PROBES)
            if table not in self._there:
                return {}
        probe = self.ask(_PROBES[table])
        held = self._probed.get(table)
        if held is not None and held[0] == probe:
            return held[1]
        # What is written after the probe is found by the next one.
        state: _State = {row[0]: _table(*row[1:]) for row in self.ask(_READS[table])}
        self._probed[table] = (probe, state)
        return state

    def _read_rows(self) -> dict[str, int]:
        return {table: rows for table, rows in self.ask(_ROWS) if rows is not None}


def warnings_of(contracts: Contracts, tables: Mapping[str, LoadedTable | None]) -> tuple[str, ...]:
    """What is to be said of data in this state. Raises `DataRefused` where a contract wants no answer from them."""
    found = []
    for name, table in tables.items():
        dataset = contracts.datasets[name.partition(".")[2]]
        if table is None:
            found.append(f"{name}: no load is on record, so nobody knows how old it is")
            continue
        if table.stale:
            text = f"{name} is stale: last seen to be the newest {table.age_seconds:,} s ago"
            found.append(_said(text, dataset.when_stale, "stale"))
        if table.quality is not None and not table.quality.passed:
            text = f"{name} broke {', '.join(table.quality.broken_rules)} when it was last checked"
            found.append(_said(text, dataset.when_failing, "failing"))
    return tuple(found)


def _said(text: str, answer: Answer, state: str) -> str:
    if answer is Answer.REFUSE:
        raise DataRefused(
            f"{text}, and its contract refuses answers from {state} data", remedy="ask its owner, or ask again later"
        )
    return text


def same_snapshots(tables: Sequence[str], before: Mapping[str, LoadedTable], after: Mapping[str, LoadedTable]) -> bool:
    """Whether these tables show now what they showed before."""
    return all(_snapshot(before.get(name)) == _snapshot(after.get(name)) for name in tables)


def _snapshot(table: LoadedTable | None) -> str:
    return table.snapshot_id if table else ""


def _table(
    iceberg: str, snapshot: str, committed: str, seen: str, judged: str | None, quality: str
) -> tuple[LoadedTable, datetime, str]:
    at = _utc(seen)
    judged_of = _quality(_iso(judged), quality) if judged else None
    return LoadedTable(f"lake.{iceberg}", snapshot, _iso(committed), _iso(seen), 0, False, judged_of), at, quality


@lru_cache(maxsize=512)
def _quality(judged: str, outcomes: str) -> Quality:
    results = json.loads(outcomes)
    broken = tuple(result["rule"] for result in results if not result["passed"])
    errors = any(not result["passed"] and result["severity"] == "error" for result in results)
    return Quality(judged_at=judged, passed=not errors, broken_rules=broken, rules=len(results))


@lru_cache(maxsize=2048)
def _utc(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _iso(text: str) -> str:
    return _utc(text).isoformat(timespec="seconds")
