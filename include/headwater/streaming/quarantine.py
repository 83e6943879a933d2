"""What could not be read, or did not pass: a view of two places, nothing that is kept beside them.

Bronze has the records that could not be decoded, with reason and bytes; `lake.silver.<dataset>_refused` has the rows
that broke a rule. A record that was repaired has a row with a higher `_attempt` at the same place: the highest counts.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import NoSuchTableError

from headwater.contracts.layers import (
    ATTEMPT,
    ERROR,
    HEADERS,
    INGESTED_AT,
    OFFSET,
    PARTITION,
    RAW,
    RULE,
    TOPIC,
    TOPIC_ID,
)
from headwater.contracts.model import Dataset
from headwater.errors import TerminalError
from headwater.lake.batches import file_batches
from headwater.lake.catalog import get_catalog
from headwater.streaming.accounting import streams
from headwater.streaming.attempts import TABLE, attempts_at, discarded_places

PLACE = (TOPIC, TOPIC_ID, PARTITION, OFFSET)
"""Where a record came from: a topic that was created again has the same offsets for other records."""

Headers = tuple[tuple[str, str | None], ...]
Measures = tuple[int | None, Headers]

_KEY_TYPES = (pa.string(), pa.string(), pa.int32(), pa.int64(), pa.int32())
_REASONS = {
    "decode": f"CASE WHEN {ERROR} IS NULL THEN [] ELSE [{ERROR}] END",
    "rule": f"coalesce({RULE.name}, [])",
}


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One record in quarantine. `stage` is `decode` or `rule`; `reasons` the error, or the names of the rules.

    `size` is the number of bytes that could not be decoded; None where there are none, or the row was readable.
    `headers` are the record's, as (name, value), for looking at: text, what is no UTF-8 in hexadecimal.
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
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records of the quarantine; every part that is not None must hold.

    `reason` is one error or rule, `stage` decode or rule, `offsets` the first and the last, `since` and `until` bound
    the time of arrival (half-open). `discarded` asks for those that were put aside, instead of those that were not.
    `limit` keeps the newest so many.
    """

    reason: str | None = None
    stage: str | None = None
    partition: int | None = None
    offsets: tuple[int, int] | None = None
    since: datetime | None = None
    until: datetime | None = None
    discarded: bool = False
    limit: int | None = None

    def conditions(self) -> tuple[str, dict[str, Any]]:
        """DuckDB's condition over rows with `reasons` and `stage`, and the values of its parameters."""
        first, last = self.offsets or (None, None)
        parts: dict[str, dict[str, Any]] = {
            "list_contains(reasons, $reason)": {"reason": self.reason},
            "stage = $stage": {"stage": self.stage},
            f"{PARTITION} = $partition": {"partition": self.partition},
            f"{OFFSET} BETWEEN $first AND $last": {"first": first, "last": last},
            f"{INGESTED_AT} >= $since": {"since": self.since},
            f"{INGESTED_AT} < $until": {"until": self.until},
        }
        asked = {sql: given for sql, given in parts.items() if None not in given.values()}
        given = {name: value for values in asked.values() for name, value in values.items()}
        return " AND ".join(["len(reasons) > 0", *asked]), given


EVERYTHING = Selection()


def quarantined(names: Sequence[str] = (), selection: Selection = EVERYTHING) -> list[Quarantined]:
    """Records in quarantine of these streams (default: all), newest first."""
    found = [record for dataset in streams(names) for record in quarantine_of(dataset, selection)]
    return _newest_first(found)[: selection.limit]


def quarantine_of(dataset: Dataset, selection: Selection = EVERYTHING, *, measured: bool = True) -> list[Quarantined]:
    """The same for one dataset at hand. Only the bytes of the records that are returned are looked at.

    A record that was repaired, or discarded by a person, is no longer in quarantine. `measured=False` leaves sizes and
    headers out, and then no bytes are read at all.
    """
    rows = [row for one in _at_every_stage(dataset) for row in _latest(dataset, *one, selection)]
    records = _newest_first([_record(dataset, row) for row in rows])[: selection.limit]
    if not measured:
        return records
    found = _measures(dataset, [record for record in records if record.stage == "decode"])
    measures = [found.get(place_of(record), (None, ())) for record in records]
    return [replace(r, size=size, headers=headers) for r, (size, headers) in zip(records, measures, strict=True)]


def repaired_places(dataset: Dataset) -> set[tuple[Any, ...]]:
    """Topic, topic id, partition, offset and attempt of every row that a replay has put into bronze."""
    tables = _rows(f"bronze.{dataset.name}", (*PLACE, ATTEMPT), f"{ATTEMPT} > 0")
    return {key for rows in tables for key in keys_of(rows)}


def record_at(dataset: str, partition: int, offset: int) -> list[dict[str, Any]]:
    """Everything known about one place: its rows in bronze and among the refused (all attempts), then what was tried.

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
    tried = (attempt for one in streams([dataset]) for attempt in attempts_at(one.name, partition, offset))
    return [*found, *({"table": TABLE, **attempt} for attempt in tried)]


def _at_every_stage(dataset: Dataset) -> Iterator[tuple[str, pa.Table, pa.Table]]:
    """Stage, rows with their `reasons` and, for both, the attempts that bronze has beyond the first."""
    columns = (*PLACE, ATTEMPT, INGESTED_AT)
    attempts = pa.table({name: pa.array([], kind) for name, kind in zip((*PLACE, ATTEMPT), _KEY_TYPES, strict=True)})
    for rows in _rows(f"bronze.{dataset.name}", (*columns, ERROR), f"{ERROR} IS NOT NULL OR {ATTEMPT} > 0"):
        yield "decode", rows, attempts
        attempts = rows.filter(pc.greater(rows[ATTEMPT], 0)).select([*PLACE, ATTEMPT])
    for rows in _rows(f"silver.{dataset.name}_refused", (*columns, RULE.name), f"{OFFSET} >= 0"):
        yield "rule", rows, attempts


def _latest(
    dataset: Dataset, stage: str, rows: pa.Table, attempts: pa.Table, selection: Selection
) -> list[dict[str, Any]]:
    """Of each place the row with the highest attempt, unless bronze has a higher one, if it is asked for."""
    wanted, given = selection.conditions()
    same = " AND ".join(f"other.{name} IS NOT DISTINCT FROM latest.{name}" for name in PLACE)
    # All of this is SQL of this module; what people give are parameters.
    sql = f"""
        WITH latest AS (
            SELECT *, {_REASONS[stage]} AS reasons, '{stage}' AS stage FROM rows
            QUALIFY row_number() OVER (PARTITION BY {", ".join(PLACE)} ORDER BY {ATTEMPT} DESC, {INGESTED_AT} DESC) = 1
        )
        SELECT * FROM latest WHERE {wanted}
        AND NOT EXISTS (FROM attempts other WHERE {same} AND other.{ATTEMPT} > latest.{ATTEMPT})
        AND {"" if selection.discarded else "NOT"} EXISTS (
            FROM discarded other WHERE {same} AND other.{ATTEMPT} = latest.{ATTEMPT})
        ORDER BY {INGESTED_AT} DESC, {PARTITION} DESC, {OFFSET} DESC LIMIT $limit
    """  # noqa: S608
    columns = list(zip(*discarded_places(dataset.name), strict=True)) or [()] * len(_KEY_TYPES)
    discarded = pa.table(dict(zip((*PLACE, ATTEMPT), map(pa.array, columns, _KEY_TYPES), strict=True)))
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, known in (("rows", rows), ("attempts", attempts), ("discarded", discarded)):
            connection.register(name, known)
        found = connection.sql(sql, params={**given, "limit": selection.limit}).to_arrow_table()
    listed: list[dict[str, Any]] = found.to_pylist()
    return listed


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


def _measures(dataset: Dataset, records: Sequence[Quarantined]) -> dict[tuple[Any, ...], Measures]:
    """How many bytes each of these records has, and its headers; file by file, so that those of one are in memory."""
    wanted = {place_of(record) for record in records}
    table = get_catalog().load_table(f"bronze.{dataset.name}") if records else None
    measures: dict[tuple[Any, ...], Measures] = {}
    for partition in {record.partition for record in records}:
        offsets = [record.offset for record in records if record.partition == partition]
        span = f"{ERROR} IS NOT NULL AND {PARTITION} = {partition} AND {OFFSET} >= {min(offsets)}"
        assert table is not None  # noqa: S101  (there are records)
        known = [name for name in (*PLACE, ATTEMPT, RAW, HEADERS) if name in table.schema().column_names]
        scan = table.scan(row_filter=f"{span} AND {OFFSET} <= {max(offsets)}", selected_fields=tuple(known))
        for _, batch in file_batches(scan):
            lengths = pc.binary_length(batch[RAW]).to_pylist()
            headers = batch[HEADERS].to_pylist() if HEADERS in known else [None] * batch.num_rows
            measures |= {
                key: (size, headers_as_text(some))
                for key, size, some in zip(keys_of(batch), lengths, headers, strict=True)
                if key in wanted
            }
    return measures


def headers_as_text(headers: str | None) -> Headers:
    """What bronze's `_headers` says, readable."""
    values = ((one["key"], one["value"]) for one in json.loads(headers or "[]"))
    return tuple((k, v if v is None else b64decode(v).decode("utf-8", "backslashreplace")) for k, v in values)


def place_of(record: Quarantined) -> tuple[Any, ...]:
    """Topic, topic id, partition, offset and attempt."""
    return (record.topic, record.topic_id, record.partition, record.offset, record.attempt)


def keys_of(rows: pa.Table | pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """The same of rows of bronze; one that is older than the topic's id has none."""
    nothing = [None] * rows.num_rows
    columns = [rows[n].to_pylist() if n in rows.schema.names else nothing for n in (*PLACE, ATTEMPT)]
    return zip(*columns, strict=True)


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
