"""May this Avro schema follow those? Backward, against every released version, and as Iceberg can promote.

`read_problems` follows the Avro specification's schema resolution with the new schema as reader. It is stricter in two
places, because the decoded rows land in Iceberg: of Avro's promotions only Iceberg's are allowed (int to long, float to
double, a decimal of the same scale with more digits), and a logical type never changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headwater.contracts.avro import AvroSchema

_ICEBERG_PROMOTIONS = {("int", "long"), ("float", "double")}
_AVRO_PROMOTIONS = {
    *_ICEBERG_PROMOTIONS,
    *(("int", wide) for wide in ("float", "double")),
    *(("long", wide) for wide in ("float", "double")),
    ("string", "bytes"),
    ("bytes", "string"),
}
_DOC_KEYS = {"doc", "aliases"}

Problems = Iterator[str]


def without_docs(schema: Any) -> Any:
    """The schema without what readers and writers ignore; equal for schemas of the same records."""
    if isinstance(schema, dict):
        return {key: without_docs(value) for key, value in schema.items() if key not in _DOC_KEYS}
    return [without_docs(part) for part in schema] if isinstance(schema, list) else schema


def read_problems(reader: AvroSchema, writer: AvroSchema) -> list[str]:
    """Why records of `writer` cannot be read as `reader`; empty where they can."""
    return list(_resolve(reader, writer, ""))


def _resolve(reader: Any, writer: Any, at: str) -> Problems:
    if isinstance(writer, list) or isinstance(reader, list):
        yield from _resolve_unions(reader, writer, at)
        return
    kinds = _kind(reader), _kind(writer)
    match kinds:
        case "record", "record":
            yield from _resolve_records(reader, writer, at)
        case "array", "array":
            yield from _resolve(reader["items"], writer["items"], f"{at}[]")
        case "map", "map":
            yield from _resolve(reader["values"], writer["values"], f"{at}{{}}")
        case _:
            if problem := _primitive_problem(reader, writer):
                yield f"{at or 'the record'}: {problem}"


def _resolve_records(reader: AvroSchema, writer: AvroSchema, at: str) -> Problems:
    if _full_name(reader) != _full_name(writer):
        yield f"{at or 'the record'}: was named {_full_name(writer)} and is {_full_name(reader)}"
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        place = f"{at}.{field['name']}".lstrip(".")
        if field["name"] in written:
            yield from _resolve(field["type"], written[field["name"]]["type"], place)
        elif "default" not in field:
            yield f"{place}: is new and has no default (make the column optional)"


def _resolve_unions(reader: Any, writer: Any, at: str) -> Problems:
    """Every branch that may have been written needs a branch that reads it."""
    readers = reader if isinstance(reader, list) else [reader]
    for branch in writer if isinstance(writer, list) else [writer]:
        attempts = [list(_resolve(candidate, branch, at)) for candidate in readers]
        if all(attempts):
            if _kind(branch) == "null":
                yield f"{at}: was optional and is required now"
            else:  # of the alternatives the one that is no null says most
                yield from next(a for c, a in zip(readers, attempts, strict=True) if _kind(c) != "null")


def _primitive_problem(reader: Any, writer: Any) -> str:
    new, old = _name(reader), _name(writer)
    if new == old:
        return ""
    wide, narrow = _decimal(reader), _decimal(writer)
    if wide and narrow:
        fits = wide[1] == narrow[1] and wide[0] >= narrow[0]
        return "" if fits else f"Iceberg cannot promote {old} to {new}: only more digits of the same scale"
    if _logical(reader) == _logical(writer) and (_kind(writer), _kind(reader)) in _AVRO_PROMOTIONS:
        promotable = (_kind(writer), _kind(reader)) in _ICEBERG_PROMOTIONS and _logical(reader) is None
        return "" if promotable else f"Iceberg cannot promote {old} to {new}"
    return f"was {old} and is {new}"


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _logical(schema: Any) -> str | None:
    return schema.get("logicalType") if isinstance(schema, dict) else None


def _decimal(schema: Any) -> tuple[int, int] | None:
    if _logical(schema) != "decimal":
        return None
    return int(schema["precision"]), int(schema.get("scale", 0))


def _name(schema: Any) -> str:
    """What a reader of the message calls the type."""
    if digits := _decimal(schema):
        return f"decimal({digits[0]},{digits[1]})"
    return _logical(schema) or _kind(schema)


def _full_name(schema: AvroSchema) -> str:
    return ".".join(filter(None, (schema.get("namespace"), schema["name"])))
