"""The schema a producer writes with: the newest one registered for its topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headwater.contracts.registry import RegistryClient
from headwater.errors import TerminalError


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """An Avro schema as the registry holds it: id (in every record's header), version of its subject, parsed JSON."""

    id: int
    version: int
    schema: Mapping[str, Any]


def newest_schema(subject: str) -> RegisteredSchema:
    """The newest version of a subject. Raises `TerminalError` where there is none, and the registry client's errors."""
    return _schema(subject, -1)


def first_schema(subject: str) -> RegisteredSchema:
    """The first version of a subject, which never changes. Raises as `newest_schema`."""
    return _schema(subject, 0)


def _schema(subject: str, place: int) -> RegisteredSchema:
    with RegistryClient() as registry:
        versions = registry.versions(subject)
        if not versions:
            raise TerminalError(f"subject '{subject}' is not registered", remedy="run `headwater contract apply`")
        schema_id, schema = registry.version(subject, versions[place])
    return RegisteredSchema(id=schema_id, version=versions[place], schema=schema)
