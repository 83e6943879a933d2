"""Bodies of questions, no longer than a question may be; those of events are bounded where they are read."""

from __future__ import annotations

from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headwater.api.problems import Problem

MOST = 1024**2
EVENTS = "/v1/events/"


class Bounded:
    """ASGI: refuses a longer body with 413 where its length is told, and with 400 once it has come that far."""

    def __init__(self, app: ASGIApp, most: int = MOST) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT") or scope["path"].startswith(EVENTS):
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most:
            what = f"a question may have {self._most} bytes"
            await Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-long", what).response()(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._most:
                raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-long", "the body is too long")
            return message

        await self._app(scope, counted, send)
