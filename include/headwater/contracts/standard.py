"""Is this file an Open Data Contract Standard document, and does it say only what the platform understands?

The standard's pydantic model lets unknown keys, types and metrics pass, so the JSON schema that its package ships
judges first; where that one is silent (servers, description, customProperties), the tables below do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema
from open_data_contract_standard.model import Description, Server

from headwater.contracts.document import Document, NodePath
from headwater.errors import ContractError

API_VERSION = "v3.2.0"

SCHEMA_PROPERTIES: dict[str, type] = {
    "sourceSystem": str,
    "messageKey": str,
    "eventType": str,
    "orderByNewest": list,
    "history": bool,
    "sortBy": list,
    "spread": dict,
    "changeColumn": str,
    "metrics": list,
    "answerWhen": dict,
}
"""customProperties of the dataset; docs/reference/contract.md explains each."""

COLUMN_PROPERTIES: dict[str, type] = {"partitionTransform": str, "lowCardinality": bool, "codec": str}
"""customProperties of a column."""

SERVER_PROPERTIES: dict[str, type] = {"engine": str, "orderBy": list, "partitionBy": str, "ttlDays": int}
"""customProperties of a ClickHouse server."""


def standard_errors(document: Document) -> list[ContractError]:
    """What the standard and its JSON schema object to, by line; empty where nothing."""
    if document.data.get("apiVersion") != API_VERSION:
        return [
            document.error(("apiVersion",), f"apiVersion must be {API_VERSION}", f"write `apiVersion: {API_VERSION}`")
        ]
    untyped = list(_columns_without_logical_type(document))
    if untyped:  # without it every branch of the JSON schema applies at once and its messages mislead
        return untyped
    found = [_explain(document, error) for error in _validator().iter_errors(document.data)]
    found += _unknown_keys(document)
    return found or list(_custom_property_errors(document))


@cache
def _validator() -> jsonschema.Draft201909Validator:
    text = files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft201909Validator(json.loads(text))


def _columns_without_logical_type(document: Document) -> Iterator[ContractError]:
    for at, column in columns(document):
        for key in ("name", "logicalType", "physicalType"):
            if not column.get(key):
                name = column.get("name", at[-1])
                yield document.error(at, f"column '{name}' has no {key}", f"give it a `{key}`")


def columns(document: Document) -> Iterator[tuple[NodePath, dict[str, Any]]]:
    """Path and value of every column of every schema, as far as the shape allows to find them."""
    schemas = document.data.get("schema")
    for i, schema in enumerate(schemas if isinstance(schemas, list) else []):
        found = schema.get("properties") if isinstance(schema, dict) else None
        for j, column in enumerate(found if isinstance(found, list) else []):
            if isinstance(column, dict):
                yield ("schema", i, "properties", j), column


def _explain(document: Document, error: jsonschema.ValidationError) -> ContractError:
    """The innermost cause of a schema error, which names the key at fault."""
    cause = jsonschema.exceptions.best_match([error]) or error
    at: NodePath = tuple(cause.absolute_path)
    message = cause.message if len(cause.message) < 300 else cause.message[:297] + "…"
    if cause.validator in ("unevaluatedProperties", "additionalProperties"):
        given = cause.instance if isinstance(cause.instance, dict) else {}
        keys = [k for k in given if f"'{k}'" in message]
        at = (*at, keys[0]) if keys else at
        return document.error(at, f"unknown key: {', '.join(keys) or message}", "remove it, or correct its spelling")
    return document.error(at, message, f"see {API_VERSION} of the Open Data Contract Standard")


def _unknown_keys(document: Document) -> Iterator[ContractError]:
    """Places where the JSON schema lets any key pass."""
    found: list[tuple[NodePath, Any, set[str]]] = [
        (("description",), document.data.get("description"), set(Description.model_fields))
    ]
    server_keys = {field.alias or name for name, field in Server.model_fields.items()}
    servers = document.data.get("servers")
    for i, server in enumerate(servers if isinstance(servers, list) else []):
        found.append((("servers", i), server, server_keys))
    for at, value, known in found:
        for key in set(value) - known if isinstance(value, dict) else ():
            yield document.error((*at, key), f"unknown key: {key}", "remove it, or correct its spelling")


def _custom_property_errors(document: Document) -> Iterator[ContractError]:
    yield from _judge(document, (), document.data, {})
    for i, server in enumerate(document.data.get("servers") or []):
        known = SERVER_PROPERTIES if server["type"] == "clickhouse" else {}
        yield from _judge(document, ("servers", i), server, known)
    for i, schema in enumerate(document.data.get("schema") or []):
        yield from _judge(document, ("schema", i), schema, SCHEMA_PROPERTIES)
    for at, column in columns(document):
        yield from _judge(document, at, column, COLUMN_PROPERTIES)


def _judge(document: Document, at: NodePath, holder: dict[str, Any], known: dict[str, type]) -> Iterator[ContractError]:
    seen: set[str] = set()
    for i, item in enumerate(holder.get("customProperties") or []):
        name, value, place = item["property"], item["value"], (*at, "customProperties", i)
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            yield document.error(place, f"unknown custom property '{name}'", f"here are known: {names}")
        elif name in seen:
            yield document.error(place, f"custom property '{name}' is given twice", "keep one")
        elif type(value) is not known[name]:
            yield document.error(
                place, f"custom property '{name}' must be a {known[name].__name__}", "correct its value"
            )
        seen.add(name)
