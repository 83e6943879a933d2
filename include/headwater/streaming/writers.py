"""The schemas a topic's producers write with, from the registry, and the one schema all of them are read into.

The reader schema is the contract's newest, widened by fields that a registered writer schema has and the contract
lacks, so that bronze keeps what arrived even where a producer was ahead of the contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Registry(Protocol):
    """What is asked of the schema registry (`contracts.registry.RegistryClient`); `RetryableError` where it is down."""

    def versions(self, subject: str) -> list[int]:
        """The subject's version numbers; empty where the registry does not know the subject."""

    def version(self, subject: str, version: int) -> tuple[int, Any]:
        """Schema id and Avro schema (parsed JSON) of one version."""


@dataclass(frozen=True, slots=True)
class Writers:
    """Known writer schemas by schema id, and the reader schema, all as parsed JSON."""

    by_id: Mapping[int, Any]
    reader: Mapping[str, Any]


class SubjectSchemas:
    """All schemas of one subject, fetched once each: a version never changes."""

    def __init__(self, registry: Registry, subject: str) -> None:
        self._registry = registry
        self._subject = subject
        self._by_version: dict[int, tuple[int, Any]] = {}

    def refresh(self) -> dict[int, Any]:
        """Writer schemas (parsed JSON) by id, with those registered since the last call."""
        for version in self._registry.versions(self._subject):
            if version not in self._by_version:
                self._by_version[version] = self._registry.version(self._subject, version)
        return {schema_id: schema for _, (schema_id, schema) in sorted(self._by_version.items())}


def reader_schema(contract: Mapping[str, Any], writers: Mapping[int, Any]) -> dict[str, Any]:
    """The contract's Avro schema with the fields added that only a writer knows (optional, null where absent)."""
    fields = list(contract["fields"])
    known = {field["name"] for field in fields}
    for schema in writers.values():
        for field in schema.get("fields", ()) if isinstance(schema, dict) else ():
            if field["name"] not in known:
                known.add(field["name"])
                fields.append({"name": field["name"], "type": _optional(field["type"]), "default": None})
    return {**contract, "fields": fields}


def _optional(avro_type: Any) -> list[Any]:
    branches = avro_type if isinstance(avro_type, list) else [avro_type]
    return ["null", *(branch for branch in branches if branch != "null")]
