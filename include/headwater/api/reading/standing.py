"""What the warehouse shows now: the evidence of each table, and a mark that changes whenever its rows may have.

Every question is answered by a read that began after it was asked, never by an older one; but questions that come
while a read is under way share the next one. What is asked each time are the names of the parts of three tables, which
ClickHouse has at hand: each insert and merge gives a name that was never there. Only then are they read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headwater.contracts.model import Contracts
from headwater.policy.bundle import APPLIED
from headwater.serving.evidence import LoadedTable, Shown, same_snapshots
from headwater.serving.fresh import Fresh
from headwater.serving.warehouse import Warehouse
from headwater.settings import Settings
from headwater.warehouse.state import LOADS, SHOWN

_STATE = f"""
SELECT
    (SELECT toString(max(applied_at)) FROM {APPLIED}),
    (SELECT groupArray(('gold.' || dataset, toString(snapshot_id), toString(seen_at), toString(judged_at)))
        FROM {SHOWN} FINAL),
    (SELECT groupArray((dataset, load)) FROM
        (SELECT 'gold.' || dataset AS dataset, argMax(load_id, loaded_at) AS load FROM {LOADS} GROUP BY dataset))
"""  # noqa: S608 - constants
_PARTS = """
SELECT groupArray(name) FROM (
    SELECT concat(table, '/', name) AS name FROM system.parts
    WHERE active AND database = 'platform' AND table IN ('policy', 'shown', 'loads') ORDER BY name
)
"""
_PRESENT = "SELECT database || '.' || name FROM system.tables WHERE database = 'platform'"


@dataclass(frozen=True, slots=True)
class State:
    """Evidence and mark by ClickHouse table; a table without a mark may change unseen, and is not to be kept.

    `applied_at` says which application of a policy it is: the same policy applied again is another one.
    """

    applied_at: str
    tables: Mapping[str, LoadedTable]
    marks: Mapping[str, str]

    def of(self, tables: Sequence[str]) -> dict[str, LoadedTable | None]:
        """The evidence of these tables."""
        return {table: self.tables.get(table) for table in tables}

    def mark(self, tables: Sequence[str]) -> str | None:
        """One mark for all of them; None where one of them has none."""
        marks = [self.marks.get(table) for table in tables]
        return None if None in marks else "|".join(str(mark) for mark in marks)

    def same(self, tables: Sequence[str], later: State) -> bool:
        """Whether what these tables show, and to whom, is the same then."""
        alike = [self.marks.get(table) == later.marks.get(table) for table in tables]
        return self.applied_at == later.applied_at and all(alike) and same_snapshots(tables, self.tables, later.tables)


class Standing:
    """Asks as the platform's reader. Thread-safe."""

    def __init__(self, settings: Settings, contracts: Contracts) -> None:
        self._warehouse = Warehouse(settings)
        self._shown = Shown(settings, contracts, self._warehouse)
        self._fresh = Fresh(self._ask)
        self._text = ""
        self._marks: tuple[str, Mapping[str, str]] = ("", {})
        self._present: frozenset[str] = frozenset()

    def now(self) -> State:
        """What is shown. Raises `WarehouseBusy`."""
        applied_at, marks = self._fresh.newer()
        return State(applied_at, self._shown.recent(), marks)

    def after(self, tables: Sequence[str]) -> State:
        """What is shown after this call began, also of those of these tables that have no mark. Raises as `now`."""
        applied_at, marks = self._fresh.newer()
        unmarked = [table for table in tables if table not in marks]
        shown = {**self._shown.recent(), **(self._shown.newer(unmarked) if unmarked else {})}
        return State(applied_at, shown, marks)

    def close(self) -> None:
        """Close the connections."""
        self._warehouse.close()

    def _ask(self) -> tuple[str, Mapping[str, str]]:
        if not {APPLIED, SHOWN, LOADS} <= self._present:
            self._present = frozenset(name for (name,) in self._shown.ask(_PRESENT))
        if not {APPLIED, SHOWN, LOADS} <= self._present:
            return "", {}
        text = json.dumps(self._shown.ask(_PARTS))
        if text != self._text:
            ((applied_at, shown, loads),) = self._shown.ask(_STATE)
            loaded = dict(loads)
            marks = {table: f"{snapshot}/{loaded[table]}" for table, snapshot, *_ in shown if table in loaded}
            self._shown.newer([name for name, *_ in shown])
            self._marks, self._text = (applied_at, marks), text
        return self._marks
