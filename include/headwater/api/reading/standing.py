"""What the warehouse shows now: the evidence of each table, and a mark that changes whenever its rows may have.

Every question is answered by a read that began after it was asked, never by an older one; but questions that come
while a read is under way share the next one. One statement tells whether anything has changed; only then is the
evidence read anew.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from headwater.api.reading.clickhouse import ClickHouse
from headwater.policy.bundle import APPLIED
from headwater.serving.evidence import LIVE_POSITIONS, LoadedTable, loaded_tables
from headwater.settings import Settings
from headwater.warehouse.client import explained, reader
from headwater.warehouse.state import LOADS, SHOWN

_STATE = f"""
SELECT
    (SELECT toString(max(applied_at)) FROM {APPLIED}),
    (SELECT groupArray((concat('gold.', dataset), toString(snapshot_id), toString(seen_at), toString(judged_at)))
        FROM {SHOWN} FINAL),
    (SELECT groupArray((dataset, load)) FROM
        (SELECT concat('gold.', dataset) AS dataset, argMax(load_id, loaded_at) AS load FROM {LOADS} GROUP BY dataset)),
    {{live}}
FORMAT JSONCompactEachRow
"""  # noqa: S608
_LIVE = f"(SELECT groupArray((dataset, at)) FROM (SELECT dataset, toString(max(updated_at)) AS at FROM {LIVE_POSITIONS} GROUP BY dataset))"  # noqa: E501, S608
_PRESENT = f"SELECT database || '.' || name FROM system.tables WHERE database = 'platform'"  # noqa: F541
T = TypeVar("T")


class Shared(Generic[T]):
    """Answers by one read for all who asked before it began."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._turn = threading.Condition()
        self._begun = 0
        self._ended = 0
        self._busy = False
        self._found: tuple[T | None, BaseException | None] = (None, None)

    def get(self) -> T:
        """What a read found that began after this call did. Raises what the read raises."""
        with self._turn:
            wanted = self._begun + 1
            while self._ended < wanted and self._busy:
                self._turn.wait()
            if self._ended >= wanted:
                return self._told()
            self._busy = True
            self._begun += 1
            number = self._begun
        found: tuple[T | None, BaseException | None]
        try:
            found = (self._read(), None)
        except BaseException as error:  # noqa: BLE001 - those who wait are told as well, and it is raised below
            found = (None, error)
        with self._turn:
            self._found, self._ended, self._busy = found, number, False
            self._turn.notify_all()
            return self._told()

    def _told(self) -> T:
        value, error = self._found
        if error is not None:
            raise error
        return value  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class State:
    """Evidence and mark by ClickHouse table; a table without a mark may change unseen, and is not to be kept.

    `applied_at` says which application of a policy it is: the same policy applied again is another one.
    """

    applied_at: str
    tables: Mapping[str, LoadedTable]
    marks: Mapping[str, str]

    def aged(self, tables: Sequence[str]) -> dict[str, LoadedTable | None]:
        """The evidence of these tables, with their age as of now."""
        now = datetime.now(UTC)
        return {table: _aged(self.tables.get(table), now) for table in tables}

    def mark(self, tables: Sequence[str]) -> str | None:
        """One mark for all of them; None where one of them has none."""
        marks = [self.marks.get(table) for table in tables]
        return None if None in marks else "|".join(str(mark) for mark in marks)


class Standing:
    """Asks as the platform's reader."""

    def __init__(self, settings: Settings, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._login = {
            "X-ClickHouse-User": settings.clickhouse_reader_user,
            "X-ClickHouse-Key": settings.clickhouse_reader_password.get_secret_value(),
        }
        self._shared = Shared(self._ask)
        self._text = b""
        self._state: State | None = None
        self._present: frozenset[str] = frozenset()

    def now(self) -> State:
        """What is shown. Raises `WarehouseUnavailableError`."""
        return self._shared.get()

    def _ask(self) -> State:
        if not {APPLIED, SHOWN, LOADS, LIVE_POSITIONS} <= self._present:
            self._present = frozenset(self._tables())
        if not {APPLIED, SHOWN, LOADS} <= self._present:
            return State("", self._evidence(), {})
        sql = _STATE.replace("{live}", _LIVE if LIVE_POSITIONS in self._present else "[]")
        text = self._clickhouse.ask(self._login, sql, form="JSONCompactEachRow").whole()
        if self._state is None or text != self._text:
            applied_at, shown, loads, _ = json.loads(text)
            loaded = dict(loads)
            marks = {table: f"{snapshot}/{loaded[table]}" for table, snapshot, *_ in shown if table in loaded}
            self._state, self._text = State(applied_at, self._evidence(), marks), text
        return self._state

    def _tables(self) -> list[str]:
        text = self._clickhouse.ask(self._login, _PRESENT, form="JSONCompactEachRow").whole()
        return [json.loads(line)[0] for line in text.splitlines()]

    @staticmethod
    def _evidence() -> dict[str, LoadedTable]:
        with explained("what the warehouse shows"), reader() as client:
            return loaded_tables(client)


def _aged(table: LoadedTable | None, now: datetime) -> LoadedTable | None:
    if table is None:
        return None
    age = now - datetime.fromisoformat(table.as_of)
    return replace(table, age_seconds=max(0, round(age.total_seconds())))
