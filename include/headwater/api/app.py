"""`POST /v1/events/{dataset}`: judged by the contract, written to the topic, answered when the broker has it.

A batch is accepted or refused whole; with `?partial=true` its good events are accepted and the others named. 202 is
answered after the broker has acknowledged every accepted event, and says partition and offset of each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from headwater.api.bodies import read_events
from headwater.api.judging import Judged
from headwater.api.problems import EventFault, Problem, answer_problem, fault_list, json_response
from headwater.api.producing import AcknowledgedProducer, Busy, NotAcknowledged, Place
from headwater.api.streams import EventStream, Written
from headwater.contracts.model import Contracts, Kind
from headwater.errors import RetryableError, TerminalError
from headwater.settings import Settings

RETRY_SECONDS = 2


def build_app(settings: Settings, contracts: Contracts) -> FastAPI:
    """The application; it connects to Kafka when it starts, and to the registry when the first event comes."""
    streams = {d.name: EventStream(settings, d) for d in contracts.of_kind(Kind.STREAM)}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.producer = AcknowledgedProducer(settings)
        yield
        await run_in_threadpool(app.state.producer.close)

    app = FastAPI(title="Headwater ingestion API", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(Problem, answer_problem)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/events/{dataset}", status_code=202)
    async def post_events(
        dataset: str,
        request: Request,
        partial: Annotated[bool, Query()] = False,
        content_type: Annotated[str, Header()] = "",
    ) -> Response:
        stream = streams.get(dataset)
        if stream is None:
            raise Problem(HTTPStatus.NOT_FOUND, "no-such-dataset", f"'{dataset}' is no stream dataset")
        body = await _body(request, settings.api_max_body_bytes)
        judged, written = await run_in_threadpool(_judged, settings, stream, body, content_type)
        if judged.faults and (not partial or not judged.indexes):
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "events-refused", "nothing was accepted", faults=judged.faults
            )
        places = await _produced(request.app.state.producer, stream, written, judged)
        return json_response(_answer(stream, judged, places), HTTPStatus.ACCEPTED)

    return app


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


def _judged(settings: Settings, stream: EventStream, body: bytes, content_type: str) -> tuple[Judged, Written]:
    try:
        written = stream.written()
    except RetryableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "registry-unavailable", error.what, retry_after=RETRY_SECONDS
        ) from error
    except TerminalError as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-applied", str(error)) from error
    sent = read_events(body, content_type, written.by_id, settings.api_max_events)
    judged = stream.judge.judge(sent.events, written.version)
    faults = sorted([*sent.faults, *judged.faults], key=lambda fault: fault.index)
    return Judged(judged.rows, judged.indexes, faults), written


async def _produced(
    producer: AcknowledgedProducer, stream: EventStream, written: Written, judged: Judged
) -> Sequence[Place]:
    def send() -> Any:
        return producer.send(stream.dataset.topic, stream.keys(judged.rows), written.encode(judged.rows))

    try:
        return await asyncio.wrap_future(await run_in_threadpool(send))
    except Busy as error:
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "busy", error.what, retry_after=RETRY_SECONDS) from error
    except NotAcknowledged as error:
        there = [
            EventFault(judged.indexes[n], "", "acknowledged", f"is in partition {p.partition} at offset {p.offset}")
            for n, p in sorted(error.acknowledged.items())
        ]
        detail = f"the broker did not acknowledge every event: {error.what}; send the request again"
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "not-acknowledged", detail, faults=there, retry_after=RETRY_SECONDS
        ) from error


def _answer(stream: EventStream, judged: Judged, places: Sequence[Place]) -> dict[str, Any]:
    events = [
        {"index": index, "partition": place.partition, "offset": place.offset}
        for index, place in zip(judged.indexes, places, strict=True)
    ]
    answer = {"dataset": stream.dataset.name, "topic": stream.dataset.topic, "accepted": len(events), "events": events}
    return answer | (fault_list(judged.faults) if judged.faults else {})
