"""Events judged by their contract before they are accepted: known fields, types, and the error rules of a row.

The rules are the contract's own expressions, judged by DuckDB on cleansed values as the live tables judge them, so that
what is accepted here is not refused by silver for a reason that the row alone shows. A rule that DuckDB cannot read is
left to silver, and said in the log.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import duckdb
import pyarrow as pa

from headwater.api.problems import EventFault
from headwater.api.values import Unfit, arrow_type, fit
from headwater.contracts.cleansing import cleansed, typed
from headwater.contracts.layers import INGESTED_AT
from headwater.contracts.model import Dataset, RowRule, Severity
from headwater.streaming.judgement import duck

log = logging.getLogger(__name__)

_INDEX = "_index"


@dataclass(frozen=True, slots=True)
class Judged:
    """`rows`: the good events in the contract's types; `indexes`: their places in the request; and all faults."""

    rows: pa.RecordBatch
    indexes: Sequence[int]
    faults: Sequence[EventFault]


class Judge:
    """Judges events of one stream. May be called from several threads."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._columns = {column.name: column for column in dataset.source_columns}
        self._derived = {column.name for column in dataset.columns if column.derived is not None}
        self._required = [c.name for c in dataset.source_columns if c.required or c.primary_key]
        fields = [pa.field(name, arrow_type(column.type)) for name, column in self._columns.items()]
        self._schema = pa.schema(fields)
        self._batch = self._schema.append(pa.field(_INDEX, pa.int64())).append(
            pa.field(INGESTED_AT, pa.timestamp("us", "UTC"))
        )
        self._connection = duckdb.connect(config={"threads": 1})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._turn = threading.Lock()
        self._rules = [rule for rule in dataset.row_rules if rule.severity is Severity.ERROR]
        if not self._can_judge(self._rules):
            self._rules = [rule for rule in self._rules if self._is_judged(rule)]
        self._query = _query(dataset, self._rules)

    def judge(self, events: Sequence[tuple[int, Any]], schema_version: int) -> Judged:
        """The events, each with its index in the request; `schema_version` is what they will be written with."""
        faults: list[EventFault] = []
        rows: list[dict[str, Any]] = []
        for index, event in events:
            row = self._typed(index, event, faults)
            if row is not None:
                rows.append(row | {"schema_version": schema_version, _INDEX: index})
        faults += self._broken(rows)
        bad = {fault.index for fault in faults}
        good = [row for row in rows if row[_INDEX] not in bad]
        faults.sort(key=lambda fault: fault.index)
        return Judged(pa.RecordBatch.from_pylist(good, schema=self._schema), [row[_INDEX] for row in good], faults)

    def _typed(self, index: int, event: Any, faults: list[EventFault]) -> dict[str, Any] | None:
        """The event in the contract's types, with what the contract says of the envelope; None where it has a fault."""
        if not isinstance(event, dict):
            faults.append(EventFault(index, "", "object", "an event must be a JSON object"))
            return None
        before = len(faults)
        row: dict[str, Any] = {"event_type": self._dataset.event_type, "source_system": self._dataset.source_system}
        for name, value in event.items():
            if name not in self._columns:
                faults.append(EventFault(index, name[:100], "unknown", self._unknown(name)))
            elif value is not None:
                try:
                    row[name] = fit(value, self._columns[name].type)
                except Unfit as error:
                    faults.append(EventFault(index, name, "type", str(error)))
        wrong = {fault.field for fault in faults[before:]}
        faults += [
            EventFault(index, name, f"{name}_required", "is required")
            for name in self._required
            if row.get(name) is None and name not in wrong
        ]
        return row if len(faults) == before else None

    def _unknown(self, name: str) -> str:
        if name in self._derived:
            return "is derived by the platform and not sent"
        near = get_close_matches(name, self._columns, 1, 0.7)
        return "is no field of the contract" + (f"; {near[0]} is" if near else "")

    def _broken(self, rows: list[dict[str, Any]]) -> list[EventFault]:
        """Rules that these rows break; one that the engine fails on is found by halving and refused with its words."""
        if not rows or not self._rules:
            return []
        now = datetime.now(UTC)
        batch = pa.Table.from_pylist([row | {INGESTED_AT: now} for row in rows], schema=self._batch)
        try:
            with self._turn:
                self._connection.register("batch", batch)
                answers = self._connection.sql(self._query).fetchall()
        except duckdb.Error:
            if len(rows) == 1:
                return [
                    EventFault(rows[0][_INDEX], "", "judged", "its values cannot be judged by the contract's rules")
                ]
            half = len(rows) // 2
            return self._broken(rows[:half]) + self._broken(rows[half:])
        return [
            EventFault(index, rule.column or "", rule.name, f"must hold: {rule.expression}")
            for index, *kept in answers
            for rule, holds in zip(self._rules, kept, strict=True)
            if not holds
        ]

    def _is_judged(self, rule: RowRule) -> bool:
        able = self._can_judge([rule])
        if not able:
            log.warning("%s: the rule %s is left to silver: it cannot be judged here", self._dataset.name, rule.name)
        return able

    def _can_judge(self, rules: Sequence[RowRule]) -> bool:
        try:
            self._connection.register("batch", self._batch.empty_table())
            self._connection.sql(_query(self._dataset, rules)).fetchall()
        except duckdb.Error:
            return False
        return True


def _query(dataset: Dataset, rules: Sequence[RowRule]) -> str:
    """DuckDB's SQL over the rows `batch`: the index, then whether each rule holds. No value is part of the text."""
    present = [column.name for column in dataset.source_columns]
    columns = [*(cleansed(c, present) for c in dataset.source_columns), _INDEX, INGESTED_AT]
    rows = f"SELECT {', '.join(columns)} FROM batch"  # noqa: S608
    for column in dataset.columns:
        if column.derived is not None:
            rows = f"SELECT *, {typed(f'({column.derived})', column)} AS `{column.name}` FROM ({rows})"  # noqa: S608
    holds = [f"coalesce({rule.expression}, false)" for rule in rules]
    return duck(f"SELECT {', '.join([_INDEX, *holds])} FROM ({rows})")  # noqa: S608
