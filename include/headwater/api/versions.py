"""What each answer says of the version it comes from, and of routes that are going away (RFC 9745, RFC 8594).

A version lives as long as its address: `/v1`. A change that breaks a caller makes `/v2`; then the old route is named in
`DEPRECATED` with the day it was, the day it ends, and what follows it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

VERSION = "1"


@dataclass(frozen=True, slots=True)
class Deprecated:
    """A route that is going away."""

    since: date
    until: date
    successor: str

    def headers(self) -> list[tuple[bytes, bytes]]:
        """As HTTP says it."""
        since = int(datetime.combine(self.since, time(), UTC).timestamp())
        until = format_datetime(datetime.combine(self.until, time(), UTC), usegmt=True)
        link = f'<{self.successor}>; rel="successor-version"'
        named = {"deprecation": f"@{since}", "sunset": until, "link": link}
        return [(name.encode(), value.encode()) for name, value in named.items()]


DEPRECATED: Mapping[str, Deprecated] = {}
"""By a pattern of the path: `/v1/datasets/[^/]+/rows`."""


class Versioned:
    """ASGI: adds the headers to every answer below `/v1`."""

    def __init__(self, app: ASGIApp, deprecated: Mapping[str, Deprecated] = DEPRECATED) -> None:
        self._app = app
        self._deprecated = [(re.compile(path), one.headers()) for path, one in deprecated.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on."""
        if scope["type"] != "http" or not scope["path"].startswith("/v1"):
            await self._app(scope, receive, send)
            return
        added = [(b"headwater-api-version", VERSION.encode()), (b"x-content-type-options", b"nosniff")]
        for path, headers in self._deprecated:
            if path.fullmatch(scope["path"]):
                added += headers

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await self._app(scope, receive, told)
