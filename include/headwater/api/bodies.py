"""The events of a body: JSON (one or a list), NDJSON, or Avro (a Confluent-framed value, or a container file).

What can't be read at all raises `Problem`; a line of NDJSON that can't be read is a fault of that event alone. Avro is
decoded with schemas of the dataset's own subject only: a schema from outside could say that a few bytes are a billion
empty items.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus
from typing import Any, TypeVar

import fastavro

from headwater.api.problems import EventFault, Problem
from headwater.contracts.compatibility import without_docs
from headwater.sources.avro_encoder import MAGIC_BYTE

JSON_TYPES = ("application/json",)
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
AVRO_TYPES = ("application/avro", "avro/binary", "application/vnd.apache.avro+binary", "application/octet-stream")
CONTAINER_MAGIC = b"Obj\x01"
_HEADER_BYTES = 5
T = TypeVar("T")


@dataclass(slots=True)
class Sent:
    """The events of a request with their indexes, and those that could not be read."""

    events: list[tuple[int, Any]] = field(default_factory=list)
    faults: list[EventFault] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many were sent."""
        return len(self.events) + len(self.faults)


def read_events(body: bytes, content_type: str, schemas: Mapping[int, Any], most: int) -> Sent:
    """The events of a body; `schemas`: the subject's, by id. Raises `Problem` (400, 413, 415, 422)."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in JSON_TYPES:
        sent = _json(body)
    elif media_type in NDJSON_TYPES:
        sent = _ndjson(body, most)
    elif media_type in AVRO_TYPES:
        sent = _container(body, schemas, most) if body.startswith(CONTAINER_MAGIC) else _framed(body, schemas)
    else:
        known = ", ".join((*JSON_TYPES, *NDJSON_TYPES[:1], *AVRO_TYPES[:1]))
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media-type", f"send one of {known}")
    if sent.count > most:
        raise _too_many(most)
    if not sent.count:
        raise Problem(HTTPStatus.BAD_REQUEST, "no-events", "the body has no event")
    return sent


def _too_many(most: int) -> Problem:
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-many-events", f"a request may have {most} events")


def _malformed(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "malformed-body", detail)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _loads(text: bytes | str) -> Any:
    """JSON with numbers as written (`Decimal`), without NaN. Raises `ValueError`, also for what nests too deeply."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except (RecursionError, ArithmeticError):
        raise ValueError("it nests too deeply, or a number is beyond all bounds") from None


def _json(body: bytes) -> Sent:
    try:
        document = _loads(body)
    except ValueError as error:
        place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _malformed(f"the body is not JSON{place}") from None
    return Sent(list(enumerate(document if isinstance(document, list) else [document])))


def _ndjson(body: bytes, most: int) -> Sent:
    sent = Sent()
    for line in body.split(b"\n"):
        if not line.strip():
            continue
        index = sent.count
        if index >= most:
            raise _too_many(most)
        try:
            sent.events.append((index, _loads(line)))
        except ValueError:
            sent.faults.append(EventFault(index, "", "json", "the line is not JSON"))
    return sent


def _framed(body: bytes, schemas: Mapping[int, Any]) -> Sent:
    """One value in Confluent's framing: a zero byte, the schema id, the Avro body."""
    if len(body) < _HEADER_BYTES or body[0] != MAGIC_BYTE:
        raise _malformed("Avro begins with Confluent's header (0, then the schema id) or is an object container file")
    schema_id = int.from_bytes(body[1:_HEADER_BYTES])
    if schema_id not in schemas:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "unknown-schema", f"schema id {schema_id} is not of this dataset's subject"
        )
    buffer = io.BytesIO(body[_HEADER_BYTES:])
    schema = fastavro.parse_schema(dict(schemas[schema_id]))
    event = _decoding(lambda: fastavro.schemaless_reader(buffer, schema))
    if buffer.read(1):
        raise _malformed("bytes follow the Avro value: send one value, or an object container file")
    return Sent([(0, event)])


def _container(body: bytes, schemas: Mapping[int, Any], most: int) -> Sent:
    reader = _decoding(lambda: fastavro.reader(io.BytesIO(body)))
    if reader.codec != "null":
        # A compressed block is unpacked whole before anybody can count it.
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "avro-codec", "write the container file with codec null")
    written = without_docs(json.loads(reader.metadata["avro.schema"]))
    if written not in [without_docs(dict(schema)) for schema in schemas.values()]:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "unknown-schema", "the file's schema is not one of this dataset's subject"
        )
    return _decoding(lambda: Sent(list(_at_most(reader, most))))


def _at_most(records: Iterator[Any], most: int) -> Iterator[tuple[int, Any]]:
    for index, record in enumerate(records):
        if index >= most:
            raise _too_many(most)
        yield index, record


def _decoding(read: Callable[[], T]) -> T:
    try:
        return read()
    except Problem:
        raise
    except Exception:  # noqa: BLE001 - fastavro raises whatever its struct, codec or text decoding raises
        raise _malformed("the Avro cannot be decoded") from None
