"""A client of the schema registry (Confluent's API), as far as the platform needs it.

What decides everything downstream: an id that the registry *does not know* is a `TerminalError` (the record goes to
quarantine), a registry that *cannot be reached* a `RetryableError` (wait and ask again; nothing is quarantined).
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

import httpx

from headwater.contracts.named_types import self_contained
from headwater.errors import HeadwaterError, RetryableError, TerminalError
from headwater.settings import Settings, get_settings

COMPATIBILITY = "BACKWARD_TRANSITIVE"
TIMEOUT_SECONDS = 10.0
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class SchemaNotFoundError(TerminalError):
    """The registry answers, and does not know this id, subject or version."""


class IncompatibleSchemaError(TerminalError):
    """The registry refuses a schema that breaks the subject's compatibility (409)."""


class RegistryRefusedError(TerminalError):
    """The registry answers, and refuses: not authorised, not a schema, not an address of a registry."""


class RegistryUnavailableError(RetryableError):
    """The registry cannot be reached, or is not able to answer now."""


class RegistryClient:
    """One connection to the registry; a context manager. Not safe to share between threads.

    Schemas are parsed JSON (`dict` for a record). Every method raises `RegistryUnavailableError`,
    `RegistryRefusedError` or `SchemaNotFoundError`.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        settings = settings or get_settings()
        password = settings.registry_password.get_secret_value()
        self._url = settings.registry_url.rstrip("/")
        self._http = httpx.Client(
            timeout=TIMEOUT_SECONDS,
            headers={"Accept": _CONTENT_TYPE},
            auth=(settings.registry_username, password) if settings.registry_username else None,
            verify=settings.registry_ssl_ca_location or True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Register a schema under a subject, and give its id; a schema that is there already keeps its own.

        Raises `IncompatibleSchemaError` where the subject's compatibility forbids it.
        """
        answer = self._call(
            "POST", f"/subjects/{subject}/versions", {"schema": json.dumps(schema)}, f"subject {subject}"
        )
        return int(answer["id"])

    def lookup(self, subject: str, schema: dict[str, Any]) -> int:
        """The id of a schema that is registered under the subject. Raises `SchemaNotFoundError`."""
        return int(
            self._call("POST", f"/subjects/{subject}", {"schema": json.dumps(schema)}, f"subject {subject}")["id"]
        )

    def versions(self, subject: str) -> list[int]:
        """Version numbers of a subject, in order; empty for a subject that is not there."""
        try:
            return sorted(
                int(v) for v in self._call("GET", f"/subjects/{subject}/versions", None, f"subject {subject}")
            )
        except SchemaNotFoundError:
            return []

    def version(self, subject: str, version: int) -> tuple[int, Any]:
        """Id and schema of one version of a subject; types that it takes from other subjects are put into it."""
        where = f"subject {subject} version {version}"
        answer = self._call("GET", f"/subjects/{subject}/versions/{version}", None, where)
        schema, named = json.loads(answer["schema"]), dict[str, Any]()
        self._gather(answer, named)
        return int(answer["id"]), self_contained(schema, named) if named else schema

    def _gather(self, answer: dict[str, Any], named: dict[str, Any]) -> None:
        """The types that an answer refers to, by full name, and those that they refer to."""
        for reference in answer.get("references") or []:
            subject, version = reference["subject"], reference["version"]
            where = f"subject {subject} version {version}"
            further = self._call("GET", f"/subjects/{subject}/versions/{version}", None, where)
            if reference["name"] not in named:
                named[reference["name"]] = json.loads(further["schema"])
                self._gather(further, named)

    def ids(self, subject: str) -> dict[int, Any]:
        """All schemas of a subject by id, oldest first; empty for a subject that is not there."""
        return dict(self.version(subject, v) for v in self.versions(subject))

    def compatibility(self, subject: str) -> str | None:
        """The compatibility level set for the subject itself; None where it has none of its own."""
        try:
            answer = self._call("GET", f"/config/{subject}", None, f"subject {subject}")
        except SchemaNotFoundError:
            return None
        return str(answer.get("compatibilityLevel") or answer.get("compatibility"))

    def set_compatibility(self, subject: str, level: str = COMPATIBILITY) -> None:
        """Set the subject's own compatibility level."""
        self._call("PUT", f"/config/{subject}", {"compatibility": level}, f"subject {subject}")

    def _call(self, method: str, path: str, body: dict[str, Any] | None, where: str) -> Any:
        content = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": _CONTENT_TYPE} if content else {}
        try:
            response = self._http.request(method, self._url + path, content=content, headers=headers)
        except httpx.TransportError as error:
            raise RegistryUnavailableError(
                f"the schema registry does not answer: {type(error).__name__}",
                where=self._url,
                remedy="start it (`headwater up`) or correct HEADWATER_REGISTRY_URL; the caller may try again",
            ) from error
        if response.is_success:
            return self._json(response, where)
        raise self._error(response, where)

    def _json(self, response: httpx.Response, where: str) -> Any:
        try:
            return response.json()
        except json.JSONDecodeError as error:
            raise RegistryRefusedError(
                "the answer is not JSON",
                where=f"{self._url}, {where}",
                remedy="does HEADWATER_REGISTRY_URL end in the API's path?",
            ) from error

    def _error(self, response: httpx.Response, where: str) -> HeadwaterError:
        """The error that an answer stands for; a 404 counts as 'not known' only in the registry's own words."""
        place, status = f"{self._url}, {where}", response.status_code
        code, message = _own_words(response)
        if status == httpx.codes.NOT_FOUND and code is not None:
            return SchemaNotFoundError(f"the registry does not know it: {message}", where=place)
        if status == httpx.codes.CONFLICT:
            remedy = "make the new schema read every old record: new fields need a default"
            return IncompatibleSchemaError(f"incompatible schema: {message}", where=place, remedy=remedy)
        if status in _TRANSIENT:
            return RegistryUnavailableError(f"the registry cannot answer now ({status}): {message}", where=place)
        remedy = "check HEADWATER_REGISTRY_URL, HEADWATER_REGISTRY_USERNAME and HEADWATER_REGISTRY_PASSWORD"
        return RegistryRefusedError(f"the registry refuses ({status}): {message}", where=place, remedy=remedy)


def _own_words(response: httpx.Response) -> tuple[int | None, str]:
    """`error_code` and `message` of the registry's error body; None where the body is somebody else's (a proxy's)."""
    try:
        body = response.json()
    except json.JSONDecodeError:
        return None, response.reason_phrase
    if not isinstance(body, dict) or "error_code" not in body:
        return None, response.reason_phrase
    return int(body["error_code"]), str(body.get("message", ""))[:500]
