"""One HTTP request, read: who asks, what, with which settings, parameters, external tables, and in which encodings."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from headwater.warehouse.embedded import compression
from headwater.warehouse.embedded.access import User
from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.external import SUFFIXES, ExternalTable, external_table
from headwater.warehouse.embedded.limits import TRANSPORT_PARAMS

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PIECE_BYTES = 8192
_NAME = re.compile(r"[A-Za-z_]\w*")


class ClientDisconnect(Exception):
    """The client hung up before its request was whole."""


@dataclass
class QueryRequest:
    """What a request asks for. `url_query` is the statement's beginning, `body` brings the rest of it, or data."""

    user: User
    method: str
    params: dict[str, str]
    headers: dict[str, str]
    query_id: str
    url_query: str
    settings: dict[str, str]
    parameters: dict[str, str]
    external: list[ExternalTable] = field(default_factory=list)
    source: str = ""

    @property
    def database(self) -> str | None:
        """The database named in URL or header."""
        return self.params.get("database") or self.headers.get("x-clickhouse-database") or None

    @property
    def default_format(self) -> str:
        """The format of an answer whose query has no FORMAT clause."""
        return self.params.get("default_format") or self.headers.get("x-clickhouse-format") or "TabSeparated"

    @property
    def blocks_out(self) -> bool:
        """Whether the client wants ClickHouse's own compressed blocks."""
        return self.params.get("compress", "0") in ("1", "true")

    @property
    def content_encoding(self) -> str:
        """The encoding of the answer."""
        if self.blocks_out or self.params.get("enable_http_compression", "1") in ("0", "false"):
            return ""
        return compression.negotiate(self.headers.get("accept-encoding", ""))


def head_of(scope: Scope) -> tuple[dict[str, str], dict[str, str]]:
    """Headers (lower case) and URL parameters."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return headers, dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


def read_head(scope: Scope, user: User) -> QueryRequest:
    """Everything but the body, asked by this user. Raises SET_NON_GRANTED_ROLE and the like."""
    headers, params = head_of(scope)
    if params.get("role"):
        raise EndpointError("SET_NON_GRANTED_ROLE", f"Role {params['role']} should be granted to set as current.")
    request = QueryRequest(
        user=user,
        method=scope["method"],
        params=params,
        headers=headers,
        query_id=params.get("query_id") or headers.get("x-clickhouse-query-id") or str(uuid.uuid4()),
        url_query=params.get("query", ""),
        settings={},
        parameters={},
        source=(scope.get("client") or ("",))[0],
    )
    _sort_params(request, params)
    return request


def _sort_params(request: QueryRequest, params: Mapping[str, str]) -> None:
    """Query parameters and settings out of the URL, or out of a form."""
    for name, value in params.items():
        if name.startswith("param_"):
            request.parameters[name[6:]] = value
        elif name not in TRANSPORT_PARAMS:
            if not _NAME.fullmatch(name):
                raise EndpointError("UNKNOWN_SETTING", f"Unknown setting '{name}'.")
            request.settings[name] = value


async def read_form(request: QueryRequest, scope: Scope, receive: Receive, most_bytes: int) -> None:
    """A multipart body: external tables as files; `query` and `param_*` may come as fields.

    Raises QUERY_IS_TOO_LARGE for a body of more than `most_bytes`, BAD_ARGUMENTS for one that is no form.
    """
    limited = _limited(receive, most_bytes)
    try:
        async with Request(scope, limited).form(max_part_size=16 * 1024**2) as form:
            fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
            uploads = {name: value for name, value in form.multi_items() if isinstance(value, UploadFile)}
            options = {**request.params, **fields}
            request.url_query += fields.pop("query", "")
            described = {f"{name}{suffix}" for name in uploads for suffix in SUFFIXES}
            _sort_params(request, {name: value for name, value in fields.items() if name not in described})
            for name, upload in uploads.items():
                request.external.append(external_table(name, options, await upload.read()))
            for name in described:
                request.settings.pop(name, None)
    except MultiPartException as error:
        raise EndpointError("BAD_ARGUMENTS", f"The form cannot be read: {error.message}.") from error


def _limited(receive: Receive, most_bytes: int) -> Receive:
    """The same messages, as long as their bodies together are no longer than this."""
    left = most_bytes

    async def counted() -> MutableMapping[str, Any]:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise EndpointError("QUERY_IS_TOO_LARGE", f"The form is too large. Maximum: {most_bytes} bytes.")
        return message

    return counted


async def raw_body(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises `ClientDisconnect`."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if data := message.get("body", b""):
            yield data
        if not message.get("more_body", False):
            return


async def decoded_body(request: QueryRequest, receive: Receive) -> AsyncIterator[bytes]:
    """The body, decompressed."""
    codec = compression.decoder(
        request.headers.get("content-encoding", ""), native=request.params.get("decompress", "0") in ("1", "true")
    )
    async for chunk in raw_body(receive):
        # In small pieces, since a few kilobytes may blow up to hundreds of megabytes before anybody looks at limits.
        for begin in range(0, len(chunk), step := len(chunk) if isinstance(codec, compression.Plain) else PIECE_BYTES):
            if data := codec.feed(chunk[begin : begin + step]):
                yield data
    if data := codec.finish():
        yield data
