"""The sidecar over HTTP: `/mcp` with all tools, `/<server>/mcp` with one server's, `/health`.

Stateless, with JSON answers, so any process may answer any request. Whoever asks brings an API key or a token
(`Authorization: Bearer …` or `X-API-Key`); without one there is 401 and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio.to_thread
from fastmcp.server.dependencies import get_http_request
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from headwater.errors import HeadwaterError, RetryableError
from headwater.identity.authenticating import NotAuthenticated
from headwater.mcp.server import WHOLE, build_servers
from headwater.mcp.sidecar import Sidecar, Who
from headwater.settings import Settings

KNOWN = "headwater.known"
PURPOSE_HEADER = "x-headwater-purpose"
THREADS = 64
"""Tools that run at a time in one process; the others wait."""


def build_app(settings: Settings) -> Starlette:
    """The ASGI application of one process."""
    sidecar = Sidecar(settings, who_asks)
    servers = build_servers(sidecar)
    apps = {
        path(name): server.http_app(path=path(name), json_response=True, stateless_http=True)
        for name, server in servers.items()
    }

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        async with AsyncExitStack() as stack:
            for app in apps.values():
                await stack.enter_async_context(app.router.lifespan_context(app))
            yield
        sidecar.close()

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    routes = [Route(at, endpoint=Identified(app, sidecar), methods=None) for at, app in apps.items()]
    return Starlette(routes=[Route("/health", health), *routes], lifespan=lifespan)


def path(name: str) -> str:
    """Where a server is."""
    return "/mcp" if name == WHOLE else f"/{name}/mcp"


def who_asks() -> Who:
    """Who sent the request that runs now: found out before it came here."""
    who: Who = get_http_request().scope[KNOWN]
    return who


class Identified:
    """Lets a request through that comes from somebody who is known, and tells the tools who that is."""

    def __init__(self, app: ASGIApp, sidecar: Sidecar) -> None:
        self._app = app
        self._sidecar = sidecar

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        request = Request(scope)
        source = request.client.host if request.client else ""
        try:
            known = await anyio.to_thread.run_sync(
                self._sidecar.gate.authenticated,
                request.headers.get("authorization"), request.headers.get("x-api-key"), source,
            )  # fmt: skip
        except HeadwaterError as error:
            await _refusal(error)(scope, receive, send)
            return
        scope[KNOWN] = Who(known, request.headers.get(PURPOSE_HEADER, ""), source)
        await self._app(scope, receive, send)


def _refusal(error: HeadwaterError) -> Response:
    if isinstance(error, NotAuthenticated):
        return JSONResponse({"error": str(error)}, 401, {"www-authenticate": 'Bearer realm="headwater"'})
    status = 503 if isinstance(error, RetryableError) else 403
    return JSONResponse({"error": str(error)}, status, {"retry-after": "1"} if status == 503 else None)
