"""Rows piece by piece, as CSV or Arrow: bounded memory, however many there are."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from headwater.api.reading.answers import Asked, Standpoint
from headwater.api.reading.clickhouse import Answer
from headwater.api.reading.counting import Counted
from headwater.api.reading.reading import Reading
from headwater.api.routes.answers import CSV, FORMATS, stream_headers


def streamed(reading: Reading, at: Standpoint, asked: Asked, form: str) -> Response:
    """The rows; on record before the first, when nobody knows how many there will be, and after the last."""
    answer, at = reading.answers.stream(at, asked, FORMATS[form])
    try:
        at.asking.answered(datasets=asked.tables, rows=None, sql=asked.replay)
        headers = stream_headers(at.evidence(asked), asked.limit, at.etag(asked, form))
    except BaseException:
        answer.close()
        raise
    return StreamingResponse(iterate_in_threadpool(_pieces(at, asked, answer, form)), headers=headers, media_type=form)


def _pieces(at: Standpoint, asked: Asked, answer: Answer, form: str) -> Iterator[bytes]:
    """What comes, and then the record. An end that comes early is raised, so that the answer breaks off too."""
    counted = Counted(answer.pieces())
    with at.asking as asking:
        try:
            yield from counted.csv() if form == CSV else counted.arrow()
        finally:
            answer.close()
        asking.answered(datasets=asked.tables, rows=counted.rows, sql=asked.replay)
