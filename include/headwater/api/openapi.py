"""What `/openapi.json` says: how to send, every answer, and the events of each stream dataset as a JSON schema."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from headwater.api.bodies import AVRO_TYPES, JSON_TYPES, NDJSON_TYPES
from headwater.api.problems import MEDIA_TYPE
from headwater.contracts.model import Column, Contracts, Dataset, Kind
from headwater.contracts.types import Array, DataType, Decimal, Map, Primitive

_BINARY = {"schema": {"type": "string", "format": "binary"}}
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "description": "JSON: one event or a list. NDJSON: an event per line. Avro: one Confluent-framed value, or an "
    "object container file (codec null), with a schema of the dataset's subject.",
    "content": {
        JSON_TYPES[0]: {"schema": {"type": ["object", "array"]}},
        NDJSON_TYPES[0]: {"schema": {"type": "string"}},
        AVRO_TYPES[0]: _BINARY,
    },
}
_FAULTS = {
    "error_count": {"type": "integer"},
    "errors": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"index": {"type": "integer"}}
            | {name: {"type": "string"} for name in ("field", "rule", "message")},
        },
    },
}
_PLACES = {
    "type": "array",
    "items": {"type": "object", "properties": {name: {"type": "integer"} for name in ("index", "partition", "offset")}},
}
_ACCEPTED = {
    "type": "object",
    "properties": {
        "dataset": {"type": "string"},
        "topic": {"type": "string"},
        "accepted": {"type": "integer"},
        "events": _PLACES,
        **_FAULTS,
    },
}
_PROBLEM = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("type", "title", "detail")},
        "status": {"type": "integer"},
        **_FAULTS,
        "acknowledged": _PLACES,
        "unknown": {"type": "array", "items": {"type": "integer"}},
    },
}
_REFUSALS = {
    400: "The body cannot be read",
    401: "No valid API key",
    403: "The key is not for this dataset",
    404: "No such stream dataset",
    409: "The first request with this idempotency key is being worked on",
    413: "Too long, or too many events",
    415: "Not JSON, NDJSON or Avro",
    422: "The contract refuses events, or the idempotency key stands for another request",
    429: "The quota is used up, or the broker is slow; nothing was accepted. See Retry-After",
    503: "The broker did not acknowledge, or a service is away. See Retry-After. Where a part of a batch was sent, "
    "`acknowledged` has the events that the broker has, `unknown` those that it may have",
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "The broker has every accepted event, at these places",
        "content": {"application/json": {"schema": _ACCEPTED}},
    },
    **{
        status: {"description": text, "content": {MEDIA_TYPE: {"schema": _PROBLEM}}}
        for status, text in _REFUSALS.items()
    },
}
_TYPES: dict[DataType, dict[str, Any]] = {
    Primitive.STRING: {"type": "string"},
    Primitive.BOOLEAN: {"type": "boolean"},
    Primitive.INT: {"type": "integer", "format": "int32"},
    Primitive.LONG: {"type": "integer", "format": "int64"},
    Primitive.FLOAT: {"type": "number", "format": "float"},
    Primitive.DOUBLE: {"type": "number", "format": "double"},
    Primitive.DATE: {"type": "string", "format": "date"},
    Primitive.TIMESTAMP: {"type": "string", "format": "date-time"},
    Primitive.UUID: {"type": "string", "format": "uuid"},
    Primitive.BINARY: {"type": "string", "contentEncoding": "base64"},
}


def describe(app: FastAPI, contracts: Contracts) -> None:
    """Add the events of each stream to the application's description."""
    generated = app.openapi()
    schemas = generated.setdefault("components", {}).setdefault("schemas", {})
    streams = contracts.of_kind(Kind.STREAM)
    for dataset in streams:
        schemas[dataset.name] = event_schema(dataset)
    one = {"anyOf": [{"$ref": f"#/components/schemas/{dataset.name}"} for dataset in streams]}
    body = generated["paths"]["/v1/events/{dataset}"]["post"]["requestBody"]["content"][JSON_TYPES[0]]
    if streams:
        body["schema"] = {"anyOf": [one, {"type": "array", "items": one}]}
    schemas["ProblemModel"] = {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": _PROBLEM["properties"],
    }
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    _secure(generated)
    app.openapi_schema = generated


def _secure(generated: dict[str, Any]) -> None:
    """Say how one logs in, on every route but `/health`."""
    generated["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the OpenID provider"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, operations in generated["paths"].items():
        for verb, operation in operations.items():
            if verb == "get" and path.startswith("/v1"):
                operation["responses"]["304"] = {"description": "As it was when you last asked (If-None-Match)"}
            if path != "/health":
                operation["security"] = [{"bearer": []}, *([] if path.startswith("/v1/events") else [{"key": []}])]


def event_schema(dataset: Dataset) -> dict[str, Any]:
    """One event of a dataset as a JSON schema; of the rules only lists of values are repeated."""
    return {
        "type": "object",
        "description": dataset.description,
        "properties": {column.name: _column(column) for column in dataset.source_columns},
        "required": [column.name for column in dataset.source_columns if column.required or column.primary_key],
        "additionalProperties": False,
    }


def _column(column: Column) -> dict[str, Any]:
    schema = {**_type(column.type), **({"enum": list(column.enum)} if column.enum else {})}
    return {**schema, **({"description": column.description} if column.description else {})}


def _type(kind: DataType) -> dict[str, Any]:
    match kind:
        case Decimal():
            return {"type": ["number", "string"], "format": str(kind)}
        case Array(element):
            return {"type": "array", "items": _type(element)}
        case Map(value):
            return {"type": "object", "additionalProperties": _type(value)}
        case _:
            return _TYPES[kind]
