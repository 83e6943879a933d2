"""One record of the quarantine, tried once more: its bytes decoded, or its row taken as it is, patched, then judged.

No Spark: fastavro decodes as `streaming.decode` does, and `streaming.judgement` judges. The reasons are the same words.
One thing is stricter than the stream: bytes that are left over behind the record count as undecodable, because a
schema that does not fit may well read the beginning of anything.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import duckdb
import fastavro
import pyarrow as pa

from headwater.contracts.avro import AvroSchema
from headwater.contracts.layers import ATTEMPT, ERROR, HEADERS, RAW
from headwater.contracts.model import Dataset
from headwater.streaming.judgement import rules_broken
from headwater.streaming.patching import Patch, PatchUnfit, patched

HEADER_BYTES = 5
REQUIRED_FIELD = "event_id"


class Unreadable(Exception):
    """The bytes cannot be decoded: the reason, as bronze's `_error` has it, and what was found."""


@dataclass(frozen=True)
class Repair:
    """How records are tried: writer schemas by id and the reader's, or the one schema that was `chosen`; the patch."""

    dataset: Dataset
    reader: AvroSchema
    writers: Mapping[int, Any] = field(default_factory=dict)
    chosen: AvroSchema | None = None
    patch: Patch | None = None

    @cached_property
    def _parsed(self) -> dict[int | None, Any]:
        known: list[tuple[int | None, Any]] = [*self.writers.items()]
        known += [] if self.chosen is None else [(None, self.chosen)]
        return {key: fastavro.parse_schema(schema) for key, schema in known}

    @cached_property
    def _reader(self) -> Any:
        return fastavro.parse_schema(self.reader)

    def decoded(self, value: bytes | None) -> dict[str, Any]:
        """The record in these bytes. Raises `Unreadable`."""
        if not value:
            raise Unreadable("empty_value")
        if self.chosen is not None:
            framed = value[:1] == b"\0" and len(value) >= HEADER_BYTES
            return self._read(None, value[HEADER_BYTES:] if framed else value)
        if value[:1] != b"\0":
            raise Unreadable("bad_magic_byte")
        if len(value) < HEADER_BYTES:
            raise Unreadable("too_short")
        schema_id = int.from_bytes(value[1:HEADER_BYTES], "big")
        if schema_id not in self.writers:
            raise Unreadable(f"unknown_schema_id: {schema_id}")
        return self._read(schema_id, value[HEADER_BYTES:])

    def _read(self, schema_id: int | None, body: bytes) -> dict[str, Any]:
        content = io.BytesIO(body)
        try:
            record = fastavro.schemaless_reader(content, self._parsed[schema_id], self._reader)
        except Exception as error:
            raise Unreadable(f"undecodable_avro: {type(error).__name__} {error}".rstrip()[:300]) from error
        if left := len(body) - content.tell():
            raise Unreadable(f"undecodable_avro: {left} bytes are left over behind the record")
        if not isinstance(record, dict) or record.get(REQUIRED_FIELD) is None:
            raise Unreadable(f"undecodable_avro: no {REQUIRED_FIELD}")
        return record


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one row: the row to land in bronze, or the reasons why it would fail again."""

    row: dict[str, Any] | None
    reasons: tuple[str, ...] = ()


def tried(repair: Repair, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> list[Tried]:
    """Try rows of bronze (as they are there, `schema` its columns) once more; in the order of the rows."""
    found = [_one(repair, row, schema) for row in rows]
    landing = [number for number, one in enumerate(found) if one.row is not None]
    if landing:
        kept = [found[number].row for number in landing]
        for number, broken in zip(landing, _judged(repair.dataset, kept, schema), strict=True):
            if broken:
                found[number] = Tried(None, broken)
    return found


def _one(repair: Repair, row: Mapping[str, Any], schema: pa.Schema) -> Tried:
    try:
        record = dict(row) if row[ERROR] is None else repair.decoded(row[RAW])
        if repair.patch is not None:
            record = patched(record, repair.patch, repair.dataset)
    except Unreadable as error:
        return Tried(None, (str(error),))
    except PatchUnfit as error:
        return Tried(None, (f"patch: {error.what}",))
    if lacking := [name for name, value in record.items() if value is not None and name not in schema.names]:
        reason = f"bronze has no column {', '.join(lacking)} yet: the stream's next batch adds it"
        return Tried(None, (reason,))
    after = {name: _plain(record.get(name, row.get(name) if name.startswith("_") else None)) for name in schema.names}
    after |= {ATTEMPT: row[ATTEMPT] + 1, ERROR: None, RAW: None, HEADERS: None}
    try:
        pa.RecordBatch.from_pylist([after], schema=schema)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        return Tried(None, (f"does not fit bronze's columns: {error}",))
    return Tried(after)


def _judged(dataset: Dataset, rows: Sequence[Any], schema: pa.Schema) -> list[tuple[str, ...]]:
    """The rules each row breaks. A value that fails the query as a whole is found by judging one by one."""
    try:
        return rules_broken(dataset, pa.Table.from_pylist(list(rows), schema=schema))
    except duckdb.Error as error:
        if len(rows) == 1:
            return [(f"cannot be judged: {error}"[:300],)]
        return [names for row in rows for names in _judged(dataset, [row], schema)]


def _plain(value: Any) -> Any:
    """A value as Arrow takes it: a map as its entries, a UUID as text."""
    match value:
        case dict():
            return [(key, _plain(item)) for key, item in value.items()]
        case list():
            return [_plain(item) for item in value]
        case uuid.UUID():
            return str(value)
    return value
