"""What could not be read, or did not pass: a view of two places, nothing that is kept beside them.

Bronze has the records that could not be decoded, with reason and bytes; `lake.silver.<dataset>_refused` has the rows
that broke a rule. A record that was repaired has a row with a higher `_attempt` at the same place: the highest counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import NoSuchTableError

from headwater.contracts.layers import ATTEMPT, ERROR, INGESTED_AT, OFFSET, PARTITION, RAW, RULE, TOPIC, TOPIC_ID
from headwater.contracts.model import Dataset
from headwater.errors import TerminalError
from headwater.lake.batches import file_batches
from headwater.lake.catalog import get_catalog
from headwater.streaming.accounting import streams

PLACE = (TOPIC, TOPIC_ID, PARTITION, OFFSET)
"""Where a record came from: a topic that was created again has the same offsets for other records."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One record in quarantine. `stage` is `decode` or `rule`; `reasons` the error, or the names of the rules.

    `size` is the number of bytes that could not be decoded; None where there are none, or the row was readable.
    """

    dataset: str
    topic: str
    topic_id: str | None
    partition: int
    offset: int
    attempt: int
    stage: str
    reasons: tuple[str, ...]
    ingested_at: datetime
    size: int | None


def quarantined(names: Sequence[str] = (), *, reason: str | None = None, limit: int | None = None) -> list[Quarantined]:
    """Records in quarantine of these streams (default: all), newest first; `reason` picks one error or rule."""
    found = [record for dataset in streams(names) for record in quarantine_of(dataset, reason=reason, limit=limit)]
    return _newest_first(found)[:limit]


def quarantine_of(dataset: Dataset, *, reason: str | None = None, limit: int | None = None) -> list[Quarantined]:
    """The same for one dataset at hand. Only the bytes of the records that are returned are looked at."""
    rows = [*_unreadable(dataset, reason, limit), *_refused(dataset, reason, limit)]
    records = _newest_first([_record(dataset, row) for row in rows])[:limit]
    sizes = _sizes(dataset, [record for record in records if record.stage == "decode"])
    return [replace(record, size=sizes.get(_key(record))) for record in records]


def record_at(dataset: str, partition: int, offset: int) -> list[dict[str, Any]]:
    """Everything known about one place: its rows in bronze (all attempts), then in the refused rows.

    Raises `TerminalError` where neither has it.
    """
    place = f"{PARTITION} = {partition} AND {OFFSET} = {offset}"
    found = [
        {"table": table, **row}
        for one in streams([dataset])
        for table in (f"bronze.{one.name}", f"silver.{one.name}_refused")
        for rows in _rows(table, ("*",), place)
        for row in rows.to_pylist()
    ]
    if not found:
        raise TerminalError("no row came from there", where=f"{dataset}, partition {partition}, offset {offset}")
    return found


def _unreadable(dataset: Dataset, reason: str | None, limit: int | None) -> list[dict[str, Any]]:
    columns = (*PLACE, ATTEMPT, INGESTED_AT, ERROR)
    rows = _rows(f"bronze.{dataset.name}", columns, f"{ERROR} IS NOT NULL OR {ATTEMPT} > 0")
    reasons = f"CASE WHEN {ERROR} IS NULL THEN [] ELSE [{ERROR}] END"
    return [row for one in rows for row in _latest(one, "decode", reasons, reason, limit)]


def _refused(dataset: Dataset, reason: str | None, limit: int | None) -> list[dict[str, Any]]:
    rows = _rows(f"silver.{dataset.name}_refused", (*PLACE, ATTEMPT, INGESTED_AT, RULE.name), f"{OFFSET} >= 0")
    return [row for one in rows for row in _latest(one, "rule", f"coalesce({RULE.name}, [])", reason, limit)]


def _latest(rows: pa.Table, stage: str, reasons: str, reason: str | None, limit: int | None) -> list[dict[str, Any]]:
    """Of each place the row with the highest attempt, if it has that reason (or any): the newest so many."""
    wanted = "len(reasons) > 0" if reason is None else "list_contains(reasons, $reason)"
    # `reasons` is SQL of this module; the reason and the limit, which people give, are parameters.
    sql = f"""
        SELECT * FROM (
            SELECT *, {reasons} AS reasons, '{stage}' AS stage FROM rows
            QUALIFY row_number() OVER (PARTITION BY {", ".join(PLACE)} ORDER BY {ATTEMPT} DESC, {INGESTED_AT} DESC) = 1
        ) WHERE {wanted} ORDER BY {INGESTED_AT} DESC, {PARTITION} DESC, {OFFSET} DESC LIMIT $limit
    """  # noqa: S608
    given = {"limit": limit} | ({} if reason is None else {"reason": reason})
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("rows", rows)
        found: list[dict[str, Any]] = connection.sql(sql, params=given).to_arrow_table().to_pylist()
    return found


def _record(dataset: Dataset, row: dict[str, Any]) -> Quarantined:
    return Quarantined(
        dataset=dataset.name,
        topic=row[TOPIC],
        topic_id=row[TOPIC_ID],
        partition=row[PARTITION],
        offset=row[OFFSET],
        attempt=row[ATTEMPT],
        stage=row["stage"],
        reasons=tuple(row["reasons"]),
        ingested_at=row[INGESTED_AT],
        size=None,
    )


def _newest_first(records: list[Quarantined]) -> list[Quarantined]:
    return sorted(records, key=lambda record: (record.ingested_at, record.partition, record.offset), reverse=True)


def _sizes(dataset: Dataset, records: Sequence[Quarantined]) -> dict[tuple[Any, ...], int | None]:
    """How many bytes each of these records has, read file by file so that the bytes of one are in memory."""
    wanted = {_key(record) for record in records}
    sizes: dict[tuple[Any, ...], int | None] = {}
    for partition in {record.partition for record in records}:
        offsets = [record.offset for record in records if record.partition == partition]
        span = f"{ERROR} IS NOT NULL AND {PARTITION} = {partition} AND {OFFSET} >= {min(offsets)}"
        scan = (
            get_catalog()
            .load_table(f"bronze.{dataset.name}")
            .scan(row_filter=f"{span} AND {OFFSET} <= {max(offsets)}", selected_fields=(*PLACE, ATTEMPT, RAW))
        )
        for _, batch in file_batches(scan):
            keys = zip(*(batch[name].to_pylist() for name in (*PLACE, ATTEMPT)), strict=True)
            sizes |= {k: n for k, n in zip(keys, pc.binary_length(batch[RAW]).to_pylist(), strict=True) if k in wanted}
    return sizes


def _key(record: Quarantined) -> tuple[Any, ...]:
    return (record.topic, record.topic_id, record.partition, record.offset, record.attempt)


def _rows(name: str, columns: tuple[str, ...], condition: str) -> list[pa.Table]:
    """The table's rows; nothing where there is no table, for then nothing has been written yet."""
    try:
        table = get_catalog().load_table(name)
    except NoSuchTableError:
        return []
    there = {*table.schema().column_names, "*"}
    known = tuple(column for column in columns if column in there)
    rows: pa.Table = table.scan(row_filter=condition, selected_fields=known).to_arrow()
    for column in columns:
        if column not in there:  # the table is older than the column; the stream's next start adds it
            rows = rows.append_column(column, pa.nulls(rows.num_rows, pa.string()))
    return [rows]
