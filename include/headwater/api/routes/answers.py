"""How answers look: headers, JSON with evidence, pages of lists, what the Accept header asks for.

The models are for `/openapi.json`; answers are written straight as bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from headwater.api.problems import MEDIA_TYPE, Problem
from headwater.api.reading import cursor as cursors
from headwater.api.reading.answers import Asked, Page, Standpoint

JSON, CSV, ARROW = "application/json", "text/csv", "application/vnd.apache.arrow.stream"
FORMATS = {CSV: "CSVWithNames", ARROW: "ArrowStream"}
EVIDENCE_HEADER = "Headwater-Evidence"
NAME = r"^[a-z][a-z0-9_]{0,127}$"
_PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, X-API-Key, Accept"}


class OpenModel(BaseModel):
    """A part of an answer that later versions may add to."""

    model_config = ConfigDict(extra="allow")


class ColumnModel(OpenModel):
    """A column of an answer, with its ClickHouse type."""

    name: str
    type: str


class EvidenceModel(OpenModel):
    """What an answer rests on."""

    sql: str
    tables: dict[str, dict[str, Any] | None]
    policy: dict[str, Any] | None


class RowsModel(OpenModel):
    """Rows, in the order of `columns`. Decimals are text, so that money keeps its cents."""

    columns: list[ColumnModel]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    next: str | None
    evidence: EvidenceModel


class ListModel(OpenModel):
    """One page of a list; `next` is the cursor of the page behind it."""

    items: list[dict[str, Any]]
    next: str | None


class ProblemModel(OpenModel):
    """application/problem+json (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


_SAID = {
    400: "It cannot be read: a parameter, a cursor, a body",
    401: "No valid credentials",
    403: "The policy does not let you do this",
    404: "There is no such thing, or none that you may see",
    406: "None of the media types that you accept",
    409: "The data are stale or failing, and their contract wants no answer from them",
    413: "The body is too long",
    415: "Send JSON",
    422: "Readable, but it asks for what is not there, or for more than you may have",
    429: "Too much at once, or the quota is used up. See Retry-After",
    503: "A service behind the API is away. See Retry-After",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers that refuse, for a route's description; 400, 401, 403, 422, 429 and 503 are every route's."""
    schema = {"$ref": "#/components/schemas/ProblemModel"}
    wanted = sorted({400, 401, 403, 422, 429, 503, *statuses})
    return {status: {"description": _SAID[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in wanted}


def tabular(description: str) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that gives rows."""
    content: dict[str, Any] = {CSV: {"schema": {"type": "string"}}}
    content[ARROW] = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": description, "content": content}}


def accepted(request: Request) -> str:
    """The media type to answer rows with: JSON, CSV or Arrow. Raises `Problem` (406)."""
    header = request.headers.get("accept", "*/*")
    if header in (JSON, "*/*", ""):
        return JSON
    best, weight = "", 0.0
    for part in header.split(","):
        kind, _, rest = part.strip().lower().partition(";")
        quality = _quality(rest)
        offered = {"*/*": JSON, "application/*": JSON, "text/*": CSV}.get(kind.strip(), kind.strip())
        if offered in (JSON, CSV, ARROW) and quality > weight:
            best, weight = offered, quality
    if not best:
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, "not-acceptable", f"answers are {JSON}, {CSV} or {ARROW}")
    return best


def _quality(parameters: str) -> float:
    for one in parameters.split(";"):
        name, _, value = one.strip().partition("=")
        if name == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def unchanged(request: Request, etag: str | None) -> bool:
    """Whether the asker has this answer already."""
    given = request.headers.get("if-none-match")
    return etag is not None and given is not None and etag in [one.strip() for one in given.split(",")]


def held(request: Request, at: Standpoint, asked: Asked, form: str) -> Response | None:
    """304, on record, where the asker has this answer already. Raises `DataRefused` where it would get none."""
    at.judged(asked)
    etag = at.etag(asked, form)
    if etag is None or not unchanged(request, etag):
        return None
    at.asking.answered(datasets=asked.tables, rows=0, sql=asked.replay)
    return not_modified(etag)


def not_modified(etag: str) -> Response:
    """304."""
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={**_PRIVATE, "ETag": etag})


def rows_response(
    page: Page, evidence: Mapping[str, Any], next_page: str | None, etag: str | None, **more: Any
) -> Response:
    """Rows as JSON, which come as they are."""
    head = json.dumps({"columns": page.columns}, ensure_ascii=False)[:-1].encode()
    tail = {"row_count": page.count, "truncated": page.truncated, "next": next_page, **more, "evidence": evidence}
    body = head + b', "rows": ' + page.rows + b", " + json.dumps(tail, ensure_ascii=False)[1:].encode()
    status = {"Cache-Status": "headwater; hit" if page.kept else "headwater; fwd=miss"}
    return Response(body, headers={**_PRIVATE, **status, **({"ETag": etag} if etag else {})}, media_type=JSON)


def stream_headers(evidence: Mapping[str, Any], limit: int, etag: str | None) -> dict[str, str]:
    """Headers of rows that are not JSON: the evidence, in ASCII. With as many rows as `limit` there may be more."""
    told = json.dumps({**evidence, "limit": limit}, separators=(",", ":"))
    return {**_PRIVATE, EVIDENCE_HEADER: told, **({"ETag": etag} if etag else {})}


def json_answer(request: Request, body: Mapping[str, Any]) -> Response:
    """A JSON answer with an entity tag of its text; 304 where the asker has it."""
    text = json.dumps(body, ensure_ascii=False, default=str).encode()
    etag = f'"{hashlib.sha256(text).hexdigest()[:32]}"'
    if unchanged(request, etag):
        return not_modified(etag)
    return Response(text, headers={**_PRIVATE, "ETag": etag}, media_type=JSON)


def paged(
    items: Sequence[tuple[tuple[str, ...], Mapping[str, Any]]], limit: int, cursor: str, question: Sequence[Any]
) -> dict[str, Any]:
    """One page of items that are sorted by their keys: those behind the cursor. Raises `Problem` (422)."""
    after = cursors.read(cursor, question).after if cursor else None
    left = [(key, item) for key, item in items if after is None or key > after]
    page = left[:limit]
    further = cursors.written(cursors.Cursor(page[-1][0], 0, ""), question) if len(left) > limit else None
    return {"items": [item for _, item in page], "next": further}
