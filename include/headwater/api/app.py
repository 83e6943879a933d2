"""`POST /v1/events/{dataset}`: judged by the contract, written to the topic, answered when the broker has it.

A batch is accepted or refused whole; with `?partial=true` its good events are accepted and the others named. 202 is
answered after the broker has acknowledged every accepted event, and says partition and offset of each. `/health` says
whether events are taken at present; `/openapi.json` has the events of every dataset.

Beside it stand the routes that read (`headwater.api.routes`), `/graphql`, and their pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated

from fastapi import FastAPI, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from headwater.api import graphql, refusing
from headwater.api.bounded import Bounded
from headwater.api.intake import Delivered, Intake
from headwater.api.openapi import ANSWERS, REQUEST_BODY, describe
from headwater.api.pages import add_pages
from headwater.api.problems import Problem, json_response
from headwater.api.reading.reading import Reading
from headwater.api.routes import datasets, metrics, operations, quarantine, queries
from headwater.api.versions import Versioned
from headwater.contracts.model import Contracts
from headwater.settings import Settings

READING = (datasets.router, queries.router, metrics.router, operations.router, quarantine.router, graphql.router)


def build_app(settings: Settings, contracts: Contracts) -> FastAPI:
    """The application; it connects to Kafka when it starts, to Postgres and the registry when the first events come."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.reading = Reading(settings, contracts)
        app.state.intake = await run_in_threadpool(Intake, settings, contracts, app.state.reading.gate.auditor)
        yield
        await run_in_threadpool(app.state.intake.close)
        await run_in_threadpool(app.state.reading.close)

    # FastAPI's own pages load scripts from elsewhere.
    app = FastAPI(title="Headwater API", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    for kind in refusing.KINDS:
        app.add_exception_handler(kind, refusing.refusal)
    _add_routes(app, settings)
    for router in READING:
        app.include_router(router)
    add_pages(app)
    app.add_middleware(Bounded)
    app.add_middleware(Versioned)
    describe(app, contracts)
    return app


def _add_routes(app: FastAPI, settings: Settings) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the server runs, and takes events (`ok`) or waits for the broker (`busy`)."""
        return {"status": "busy" if app.state.intake.stalled else "ok"}

    @app.post("/v1/events/{dataset}", status_code=202, responses=ANSWERS, openapi_extra={"requestBody": REQUEST_BODY})
    async def send_events(
        dataset: str,
        request: Request,
        partial: Annotated[bool, Query(description="Accept the good events of a batch, and name the others")] = False,
        authorization: Annotated[str, Header(description="`Bearer` and an API key")] = "",
        idempotency_key: Annotated[str, Header(description="A repeat with it gets the first answer")] = "",
    ) -> Response:
        """Send one event or a batch of a stream dataset; 202 means that the broker has all of them."""
        intake: Intake = app.state.intake
        secret = authorization.removeprefix("Bearer ").strip()
        source = request.client.host if request.client else ""
        stream, key = await run_in_threadpool(intake.admitted, dataset, secret, source)
        body = await _body(request, settings.api_max_body_bytes)
        content_type = request.headers.get("content-type", "")
        delivered = Delivered(stream, key, body, content_type, partial, idempotency_key, source)
        answer, before = await intake.accept(delivered)
        headers = {"Idempotency-Replayed": "true"} if before else {}
        return json_response(answer, HTTPStatus.ACCEPTED, headers)


async def _body(request: Request, most: int) -> bytes:
    """The whole body, read no further than it may be long."""
    too_long = Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-long", f"a body may have {most} bytes")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-encoding", "send the body uncompressed")
    if int(request.headers.get("content-length", 0)) > most:
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise too_long
    return bytes(body)
