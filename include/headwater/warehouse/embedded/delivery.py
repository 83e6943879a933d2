"""The way of an answer out, and of inserted data in: between the event loop, which moves bytes, and the workers.

While an answer is made, the connection is watched, and a client that hangs up has its query cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any, TypeVar

from headwater.warehouse.embedded import statements
from headwater.warehouse.embedded.answer import Answer
from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.execution import Execution
from headwater.warehouse.embedded.recording import Recording, Unrecorded
from headwater.warehouse.embedded.request import ClientDisconnect, Receive
from headwater.warehouse.embedded.workers import Workers

log = logging.getLogger(__name__)

INSERT_BATCH_BYTES = 1 << 20
SEND_BYTES = 1 << 16
T = TypeVar("T")


class Delivery:
    """Takes statements that are read to the engine, and what comes of them to the client."""

    def __init__(self, workers: Workers, recording: Recording) -> None:
        self._workers = workers
        self._recording = recording

    async def rows(self, execution: Execution, sql: str, receive: Receive, answer: Answer) -> None:
        """Run a statement without data and answer with its rows; raises `ClientDisconnect` when the client hangs up."""
        watcher = asyncio.ensure_future(_hang_up(receive))
        try:
            await self._answer_rows(execution, sql, watcher, answer)
        except Unrecorded:
            raise
        except EndpointError as error:
            await self._recording.failed(execution.request, sql, error.name)
            raise
        except ClientDisconnect:
            await self._recording.failed(execution.request, sql, "hung up")
            raise
        finally:
            watcher.cancel()

    async def insert(
        self,
        execution: Execution,
        head: statements.InsertHead,
        text: bytes,
        body: AsyncIterator[bytes],
        answer: Answer,
    ) -> None:
        """Append the data as it comes and answer after the commit; a client that hangs up before has it cancelled."""
        sql = decode(text[: len(head.sql)])
        insert = await self._workers.run(
            lambda: execution.insert(execution.prepare(sql, data_follows=True), head.format)
        )
        batch = bytearray(text[head.data_start :])
        try:
            async for chunk in body:
                batch += chunk
                if len(batch) >= INSERT_BATCH_BYTES:
                    await self._workers.run(partial(insert.append, bytes(batch)))
                    batch.clear()
        except BaseException:
            await self._workers.run(insert.cancel)
            raise

        def commit() -> None:
            if batch:
                insert.append(bytes(batch))
            execution.progress = insert.finish()
            execution.close()

        await self._workers.run(commit)
        await answer.whole(b"", execution.progress)

    async def _answer_rows(self, execution: Execution, sql: str, watcher: asyncio.Future[None], answer: Answer) -> None:
        pieces: Iterator[bytes] = iter(())

        def begin() -> tuple[list[bytes], bool]:
            nonlocal pieces
            pieces = execution.rows(execution.prepare(sql, data_follows=False))
            return proceed()

        def proceed() -> tuple[list[bytes], bool]:
            taken, done = _take(pieces)
            if done:
                # Before the last byte is sent: the client may use its session again as soon as it has read it.
                execution.close()
            return taken, done

        try:
            first, done = await self._watched(self._workers.run_in_turn, begin, execution, watcher)
            answer.format = execution.format
            await self._recording.answered(execution.request, sql, execution.progress.result_rows if done else None)
            if done:
                await answer.whole(b"".join(first), execution.progress)
                return
            await answer.begin_stream(first)
            while not done:
                more, done = await self._watched(self._workers.run, proceed, execution, watcher)
                await answer.stream(more)
            await self._recording.answered(execution.request, sql, execution.progress.result_rows)
            await answer.end_stream()
        finally:
            if not execution.closed and (close := getattr(pieces, "close", None)):
                await self._workers.run(close)

    async def _watched(
        self,
        run: Callable[[Callable[[], T]], Coroutine[Any, Any, T]],
        work: Callable[[], T],
        execution: Execution,
        watcher: asyncio.Future[None],
    ) -> T:
        """Run a step in a worker; if the client hangs up meanwhile, cancel the query and see the step end."""
        step = asyncio.create_task(run(work))
        both: set[asyncio.Future[Any]] = {step, watcher}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # The server stops and has waited long enough.
            await self._stop(step, execution)
            raise
        if not step.done():
            await self._stop(step, execution)
            raise ClientDisconnect
        return step.result()

    async def _stop(self, step: asyncio.Task[Any], execution: Execution) -> None:
        """Cancel a query and see its step end; only then may its connection be touched."""
        cancelling = self._workers.cancel(execution)
        await asyncio.wait({step})
        execution.ended()
        await asyncio.wrap_future(cancelling)
        if error := step.exception():
            log.info("query %s: stopped, %s", execution.query_id, error)


async def _hang_up(receive: Receive) -> None:
    """Returns when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _take(pieces: Iterator[bytes]) -> tuple[list[bytes], bool]:
    """The next pieces, enough to be worth a send, and whether they were the last."""
    taken: list[bytes] = []
    size = 0
    for piece in pieces:
        taken.append(piece)
        size += len(piece)
        if size >= SEND_BYTES and len(taken) > 1:
            return taken, False
    return taken, True


def decode(text: bytes) -> str:
    """A statement's text. Raises SYNTAX_ERROR."""
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise EndpointError("SYNTAX_ERROR", f"The query is not valid UTF-8: {error.reason}.") from error
