"""Named types of an Avro schema: a record that is defined once and then called by its name.

A registry may keep such a definition under a subject of its own; `self_contained` puts it back where it is first used,
because those who decode (Spark, fastavro) take one schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMED = ("record", "enum", "fixed")


def self_contained(schema: Any, named: Mapping[str, Any]) -> Any:
    """The schema with the definitions of `named` (by full name) in place of the first use of each."""
    return _put_in(schema, named, "", set())


def definitions(schema: Any) -> dict[str, Any]:
    """The types that a schema defines, by full name."""
    found: dict[str, Any] = {}
    _collect(schema, "", found)
    return found


def full_name(name: str, namespace: str) -> str:
    """The name with its namespace, where it does not have one."""
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _put_in(schema: Any, named: Mapping[str, Any], namespace: str, done: set[str]) -> Any:
    if isinstance(schema, str):
        name = schema if schema in named else full_name(schema, namespace)
        if name not in named or name in done:
            return schema
        return _put_in(named[name], named, namespace, done)
    if isinstance(schema, list):
        return [_put_in(branch, named, namespace, done) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in NAMED:
        namespace = _namespace(schema, namespace)
        name = full_name(schema["name"], namespace)
        if name in done:
            return name
        done.add(name)
    result = dict(schema)
    for key in ("items", "values"):
        if key in result:
            result[key] = _put_in(result[key], named, namespace, done)
    if "fields" in result:
        result["fields"] = [{**f, "type": _put_in(f["type"], named, namespace, done)} for f in result["fields"]]
    elif not isinstance(result.get("type"), str):
        result["type"] = _put_in(result.get("type"), named, namespace, done)
    return result


def _collect(schema: Any, namespace: str, found: dict[str, Any]) -> None:
    if isinstance(schema, list):
        for branch in schema:
            _collect(branch, namespace, found)
    elif isinstance(schema, dict):
        if schema.get("type") in NAMED:
            namespace = _namespace(schema, namespace)
            found[full_name(schema["name"], namespace)] = schema
        for part in (schema.get("items"), schema.get("values"), schema.get("type")):
            _collect(part, namespace, found)
        for field in schema.get("fields") or ():
            _collect(field["type"], namespace, found)


def _namespace(schema: Mapping[str, Any], outer: str) -> str:
    name = str(schema["name"])
    return name.rpartition(".")[0] if "." in name else str(schema.get("namespace", outer))
