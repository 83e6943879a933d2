"""Versions of a subject from the schema registry."""

from __future__ import annotations

import httpx

from headwater.errors import RetryableError
from headwater.settings import Settings


class RegistryVersions:
    """A subject's versions by Confluent's API."""

    def __init__(self, settings: Settings) -> None:
        auth = (settings.registry_username, settings.registry_password.get_secret_value())
        self._client = httpx.Client(base_url=settings.registry_url, timeout=10, auth=auth if auth[0] else None)

    def versions(self, subject: str) -> list[int]:
        """The subject's version numbers; empty where the registry does not know it."""
        answer = self._get(f"/subjects/{subject}/versions")
        return [] if answer.status_code == 404 else list(answer.json())

    def version(self, subject: str, version: int) -> tuple[int, str]:
        """Schema id and Avro schema (JSON) of one version."""
        found = self._get(f"/subjects/{subject}/versions/{version}").json()
        return int(found["id"]), str(found["schema"])

    def _get(self, path: str) -> httpx.Response:
        try:
            answer = self._client.get(path)
        except httpx.HTTPError as error:
            raise RetryableError(f"the schema registry did not answer: {error}", where=path) from error
        if answer.status_code not in (200, 404):
            raise RetryableError(f"the schema registry answered {answer.status_code}", where=path)
        return answer


def registry_client(settings: Settings) -> RegistryVersions:
    """The registry of the settings."""
    return RegistryVersions(settings)
