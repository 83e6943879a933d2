"""The schema a producer writes with: the newest one registered for its topic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from headwater.errors import RetryableError, TerminalError
from headwater.settings import get_settings


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """An Avro schema as the registry holds it: id (in every record's header), version of its subject, parsed JSON."""

    id: int
    version: int
    schema: Mapping[str, Any]


def newest_schema(subject: str) -> RegisteredSchema:
    """The newest version of a subject. Raises `TerminalError` where there is none, `RetryableError` without registry."""
    settings = get_settings()
    password = settings.registry_password.get_secret_value()
    auth = (settings.registry_username, password) if settings.registry_username else None
    url = f"{settings.registry_url}/subjects/{subject}/versions/latest"
    try:
        response = httpx.get(url, auth=auth, timeout=30.0, verify=settings.registry_ssl_ca_location or True)
    except httpx.TransportError as error:
        raise RetryableError(
            f"the schema registry does not answer: {error}",
            where=settings.registry_url,
            remedy="see `headwater status`, then `headwater up registry`",
        ) from error
    if response.status_code == httpx.codes.NOT_FOUND:
        raise TerminalError(
            f"subject '{subject}' is not registered", where=settings.registry_url, remedy="`headwater contract apply`"
        )
    if response.is_error:
        raise RetryableError(f"the registry answered {response.status_code}", where=url)
    body = response.json()
    return RegisteredSchema(id=body["id"], version=body["version"], schema=json.loads(body["schema"]))
