"""Rows piece by piece, as CSV or Arrow: bounded memory, however many there are."""

from __future__ import annotations

from collections.abc import Generator

from anyio import CancelScope
from fastapi.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

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
    return RowsResponse(Passing(at, asked, answer, form), headers, form)


class Passing:
    """The pieces of an answer, and the record of the rows that went by, wherever that ended."""

    def __init__(self, at: Standpoint, asked: Asked, answer: Answer, form: str) -> None:
        self._at, self._asked, self._answer = at, asked, answer
        self._counted = Counted(answer.pieces())
        self._form = form
        self._ended = False
        self.pieces = self._pass()

    def _pass(self) -> Generator[bytes, None, None]:
        """What comes, and then the record. An end that comes early is raised, so that the answer breaks off too."""
        with self._at.asking:
            try:
                yield from self._counted.csv() if self._form == CSV else self._counted.arrow()
            finally:
                self._end()

    def close(self) -> None:
        """Where somebody went away: let go of the answer, and record what went out; also where nothing did."""
        self.pieces.close()
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._answer.close()
        self._at.asking.answered(datasets=self._asked.tables, rows=self._counted.rows, sql=self._asked.replay)


class RowsResponse(StreamingResponse):
    """Closes what it passes on when it is over: Starlette leaves a generator to the garbage collector."""

    def __init__(self, passing: Passing, headers: dict[str, str], form: str) -> None:
        super().__init__(iterate_in_threadpool(passing.pieces), headers=headers, media_type=form)
        self._passing = passing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; what a client left is ended for it, though its request was cancelled."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):
                await run_in_threadpool(self._passing.close)
