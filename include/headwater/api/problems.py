"""Answers that refuse, as application/problem+json (RFC 9457): what is wrong, and for each event index, field and rule.

A message never repeats a value that was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
SHOWN_ERRORS = 1000
"""Faults that one answer lists; `error_count` says how many there are."""


@dataclass(frozen=True, slots=True)
class EventFault:
    """What is wrong with one event: its place in the request (from 0), the field (empty: the whole event), the rule."""

    index: int
    field: str
    rule: str
    message: str


class Problem(Exception):
    """A request that is refused. `kind` is the last part of the problem's type and never changes for one cause.

    `facts` are further members of the body.
    """

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        detail: str,
        *,
        faults: Sequence[EventFault] = (),
        facts: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.faults = faults
        self.facts = dict(facts or {})
        self.retry_after = retry_after
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The problem as JSON."""
        body: dict[str, Any] = {
            "type": f"urn:headwater:problem:{self.kind}",
            "title": self.kind.replace("-", " ").capitalize(),
            "status": int(self.status),
            "detail": self.detail,
            **self.facts,
        }
        return body | (fault_list(self.faults) if self.faults else {})

    def response(self) -> Response:
        """The answer."""
        retry = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        headers = {**self.headers, **retry}
        if self.status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return json_response(self.body(), self.status, headers, MEDIA_TYPE)


def fault_list(faults: Sequence[EventFault]) -> dict[str, Any]:
    """`error_count`, and the first of the errors one by one."""
    return {"error_count": len(faults), "errors": [asdict(fault) for fault in faults[:SHOWN_ERRORS]]}


def json_response(
    body: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None, media_type: str = "application/json"
) -> Response:
    """A JSON answer."""
    return Response(json.dumps(body, ensure_ascii=False), status, dict(headers or {}), media_type)
