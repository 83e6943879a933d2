"""What could not be read, or did not pass: a view of two places, nothing that is kept beside them.

Bronze has the records that could not be decoded, with reason and bytes; `lake.silver.<dataset>_refused` has the rows
that broke a rule. A record that was repaired has a row with a higher `_attempt` at the same place: the highest counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyiceberg.exceptions import NoSuchTableError

from headwater.contracts.layers import ATTEMPT, ERROR, INGESTED_AT, OFFSET, PARTITION, RAW, TOPIC
from headwater.contracts.model import Dataset
from headwater.errors import TerminalError
from headwater.lake.catalog import get_catalog
from headwater.streaming.accounting import streams


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One record in quarantine. `stage` is `decode` or `rule`; `reasons` the error, or the names of the rules."""

    dataset: str
    topic: str
    partition: int
    offset: int
    attempt: int
    stage: str
    reasons: tuple[str, ...]
    ingested_at: datetime
    size: int | None


def quarantined(names: Sequence[str] = (), *, reason: str | None = None, limit: int | None = None) -> list[Quarantined]:
    """Records in quarantine of these streams (default: all), newest first; `reason` picks one error or rule."""
    found = [
        record
        for dataset in streams(names)
        for record in (*_unreadable(dataset), *_refused(dataset))
        if reason is None or reason in record.reasons
    ]
    found.sort(key=lambda record: (record.ingested_at, record.partition, record.offset), reverse=True)
    return found[:limit]


def record_at(dataset: str, partition: int, offset: int) -> list[dict[str, Any]]:
    """Everything known about one place: its rows in bronze (all attempts), then in the refused rows.

    Raises `TerminalError` where neither has it.
    """
    place = f"{PARTITION} = {partition} AND {OFFSET} = {offset}"
    found = [
        {"table": table, **row}
        for one in streams([dataset])
        for table in (f"bronze.{one.name}", f"silver.{one.name}_refused")
        for row in _rows(table, ("*",), place)
    ]
    if not found:
        raise TerminalError("no row came from there", where=f"{dataset}, partition {partition}, offset {offset}")
    return found


def _unreadable(dataset: Dataset) -> Iterator[Quarantined]:
    columns = (TOPIC, PARTITION, OFFSET, ATTEMPT, ERROR, INGESTED_AT, RAW)
    condition = f"{ERROR} IS NOT NULL OR {ATTEMPT} > 0"
    for row in _latest(_rows(f"bronze.{dataset.name}", columns, condition)):
        if row[ERROR] is not None:
            yield _record(dataset, row, "decode", (row[ERROR],), None if row[RAW] is None else len(row[RAW]))


def _refused(dataset: Dataset) -> Iterator[Quarantined]:
    columns = (TOPIC, PARTITION, OFFSET, ATTEMPT, INGESTED_AT, "_rule")
    for row in _latest(_rows(f"silver.{dataset.name}_refused", columns, f"{OFFSET} >= 0")):
        yield _record(dataset, row, "rule", tuple(row["_rule"] or ()), None)


def _record(
    dataset: Dataset, row: dict[str, Any], stage: str, reasons: tuple[str, ...], size: int | None
) -> Quarantined:
    return Quarantined(
        dataset.name, row[TOPIC], row[PARTITION], row[OFFSET], row[ATTEMPT], stage, reasons, row[INGESTED_AT], size
    )


def _latest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each place the row with the highest attempt."""
    latest: dict[tuple[str, int, int], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row[ATTEMPT]):
        latest[(row[TOPIC], row[PARTITION], row[OFFSET])] = row
    return list(latest.values())


def _rows(table: str, columns: tuple[str, ...], condition: str) -> list[dict[str, Any]]:
    try:
        loaded = get_catalog().load_table(table)
    except NoSuchTableError:
        return []  # nothing has been written yet, so nothing is in quarantine
    rows: list[dict[str, Any]] = loaded.scan(row_filter=condition, selected_fields=columns).to_arrow().to_pylist()
    return rows
