"""`/v1/quarantine`: what could not be read or did not pass, and the bytes, which fall under the policy like any row.

Whoever may know of a stream sees where its records are and which rules they broke. Bytes, values and the words of an
error may hold anything that was sent: they are for a role that sees every row of the dataset, unmasked, and its answer
is the same as for a place where nothing is for everybody else.
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from headwater.api.problems import Problem
from headwater.api.reading.reading import Reading
from headwater.api.routes.answers import ListModel, OpenModel, json_answer, paged, refusals
from headwater.api.routes.datasets import CursorText, Limit, Name
from headwater.contracts.model import Dataset
from headwater.errors import TerminalError
from headwater.policy.model import Caller

router = APIRouter(prefix="/v1/quarantine", tags=["quarantine"])
MOST = 10_000
"""Records that are looked through; narrow the question where there are more."""

Partition = Annotated[int, Query(ge=0, le=2**31 - 1)]


class Stage(StrEnum):
    """Where a record failed."""

    DECODE = "decode"
    RULE = "rule"


@router.get("/{dataset}", response_model=ListModel, responses=refusals(404))
def list_quarantine(
    request: Request,
    dataset: Name,
    stage: Annotated[Stage, Query(description="Only of this stage")] = None,  # type: ignore[assignment]
    partition: Partition = None,  # type: ignore[assignment]
    limit: Limit = 100,
    cursor: CursorText = "",
) -> Response:
    """Records in quarantine of one stream, by partition and offset; of the newest 10,000."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "quarantine") as asking:
        stream = _stream(reading, dataset, asking.caller)
        whole = reading.sees_whole(asking.caller, stream)
        items = _records(stream, stage, partition, whole=whole)
        body = paged(items, limit, cursor, ["quarantine", dataset, stage, partition])
        asking.answered(datasets=(stream.name,), rows=len(body["items"]))
        return json_answer(request, body)


@router.get("/{dataset}/{partition}/{offset}", response_model=OpenModel, responses=refusals(404))
def get_record(
    request: Request,
    dataset: Name,
    partition: Annotated[int, Path(ge=0, le=2**31 - 1)],
    offset: Annotated[int, Path(ge=0, le=2**63 - 1)],
) -> Response:
    """Everything known about one place: its rows with their bytes (base64), then what was tried."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "quarantine_bytes") as asking:
        stream = _stream(reading, dataset, asking.caller)
        if not reading.sees_whole(asking.caller, stream):
            raise _nothing()
        from headwater.streaming.quarantine import record_at

        try:
            found = record_at(stream.name, partition, offset)
        except TerminalError:
            raise _nothing() from None
        asking.answered(datasets=(stream.name,), rows=len(found))
        return json_answer(request, {"items": [{k: _plain(v) for k, v in row.items()} for row in found]})


def _records(
    stream: Dataset, stage: Stage | None, partition: int | None, *, whole: bool
) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    from headwater.streaming.quarantine import Selection, quarantine_of

    wanted = Selection(stage=None if stage is None else str(stage), partition=partition, limit=MOST)
    items = []
    for record in quarantine_of(stream, wanted, measured=whole):
        facts = {**asdict(record), "ingested_at": record.ingested_at.isoformat()}
        if not whole:
            facts = {name: value for name, value in facts.items() if name not in ("headers", "size")}
            if record.stage == Stage.DECODE:
                facts["reasons"] = []
        place = (f"{record.partition:010d}", f"{record.offset:020d}", record.stage, f"{record.topic_id}")
        items.append((place, facts))
    return sorted(items, key=lambda item: item[0])


def _stream(reading: Reading, name: str, caller: Caller) -> Dataset:
    dataset = reading.dataset(name, caller)
    if not dataset.streamed:
        raise Problem(HTTPStatus.NOT_FOUND, "no-such-dataset", "there is no stream of this name")
    return dataset


def _nothing() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "no-such-record", "there is no such record, or none that you may see")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    return value
