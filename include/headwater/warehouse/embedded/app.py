"""The ASGI application: routes, and the way of a query between the event loop and the worker threads.

`/` takes queries, `/ping` and `/replicas_status` answer health checks. The event loop only moves bytes; parsing by the
engine, running and fetching happen in worker threads, one per running query. While an answer is made, the connection
is watched, and a client that hangs up has its query cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from headwater.warehouse.embedded import statements
from headwater.warehouse.embedded.access import Users
from headwater.warehouse.embedded.answer import Answer
from headwater.warehouse.embedded.engine import Engine
from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.execution import Execution
from headwater.warehouse.embedded.limits import Limits
from headwater.warehouse.embedded.request import (
    ClientDisconnect,
    QueryRequest,
    Receive,
    Scope,
    Send,
    decoded_body,
    read_form,
    read_head,
)
from headwater.warehouse.embedded.sessions import Sessions
from headwater.warehouse.embedded.turns import Turns

log = logging.getLogger(__name__)

INSERT_BATCH_BYTES = 1 << 20
SEND_BYTES = 1 << 16
T = TypeVar("T")
_KILL = re.compile(
    r"\s*KILL\s+QUERY\s+WHERE\s+query_id\s*=\s*'([^'\\]*)'\s*(?:SYNC|ASYNC|TEST)?\s*(?:FORMAT\s+\w+)?\s*;?\s*", re.I
)


class Endpoint:
    """The application. One per process, since the engine is."""

    def __init__(self, engine: Engine, users: Users, limits: Limits) -> None:
        self._engine = engine
        self._users = users
        self._limits = limits
        self._sessions = Sessions()
        self._running: dict[str, tuple[QueryRequest, Execution]] = {}
        self._workers = ThreadPoolExecutor(limits.worker_threads, thread_name_prefix="query")
        self._cancellers = ThreadPoolExecutor(4, thread_name_prefix="cancel")
        self._turns = Turns(limits.short_queries)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._route(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        sweeper: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                sweeper = asyncio.create_task(self._sweep())
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if sweeper is not None:
                    sweeper.cancel()
                while self._running:
                    # Their tasks were told to end; the engine must not go before they have.
                    await asyncio.sleep(0.02)
                await asyncio.get_running_loop().run_in_executor(None, self.close)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(5)
            await asyncio.get_running_loop().run_in_executor(self._cancellers, self._sessions.expire)

    def close(self) -> None:
        """Let the engine go; no query runs any more."""
        self._workers.shutdown(wait=True)
        self._cancellers.shutdown(wait=True)
        self._sessions.close()
        self._engine.close()
        log.info("stopped")

    # --- routes

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Answer(send, self._engine)
        path = scope["path"]
        if path in ("/ping", "/replicas_status") or (path == "/" and not scope["query_string"] and _is_get(scope)):
            await answer.plain(200, "Ok.\n")
        elif path != "/":
            await answer.plain(404, f"There is no handle {path}\n\nUse / or /ping for health checks.\n")
        elif scope["method"] not in ("GET", "POST", "HEAD", "PUT"):
            await answer.plain(501, f"Method {scope['method']} is not supported.\n")
        else:
            await self._query(scope, receive, answer)

    async def _query(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        try:
            request = read_head(scope, self._users)
            answer.describe(request)
            with self._admit(request) as execution:
                try:
                    if request.headers.get("content-type", "").startswith("multipart/form-data"):
                        await read_form(request, scope, receive, self._limits.form_bytes)
                        body = _nothing()
                    else:
                        body = decoded_body(request, receive)
                    await self._run(request, execution, body, receive, answer)
                finally:
                    if not execution.closed:
                        await self._in_worker(execution.close)
        except EndpointError as error:
            log.info("query %s: %s", answer.query_id, error.name)
            await answer.error(error)
        except ClientDisconnect:
            log.info("query %s: the client hung up", answer.query_id)
        except Exception as error:
            log.exception("query %s", answer.query_id)
            await answer.error(EndpointError("UNKNOWN_EXCEPTION", f"{type(error).__name__}; see the endpoint's log."))

    @contextlib.contextmanager
    def _admit(self, request: QueryRequest) -> Iterator[Execution]:
        if len(self._running) >= self._limits.concurrent_queries:
            raise EndpointError(
                "TOO_MANY_SIMULTANEOUS_QUERIES",
                f"Too many simultaneous queries. Maximum: {self._limits.concurrent_queries}.",
            )
        if request.query_id in self._running:
            raise EndpointError(
                "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", f"Query with id = {request.query_id} is already running."
            )
        crowded = len(self._running) >= self._limits.query_threads
        execution = Execution(self._engine, self._sessions, self._limits, request, crowded=crowded)
        self._running[request.query_id] = (request, execution)
        try:
            yield execution
        finally:
            self._running.pop(request.query_id, None)

    async def _run(
        self, request: QueryRequest, execution: Execution, body: AsyncIterator[bytes], receive: Receive, answer: Answer
    ) -> None:
        text, head = await self._read_statement(request, body)
        if head is not None:
            await self._insert(execution, head, text, body, answer)
            return
        sql = _decode(text)
        if not sql.strip():
            raise EndpointError("SYNTAX_ERROR", "Empty query.")
        if match := _KILL.fullmatch(sql):
            await answer.plain(200, self._kill(request, match.group(1)))
            return
        watcher = asyncio.ensure_future(_hang_up(receive))
        try:
            await self._answer_rows(execution, sql, watcher, answer)
        finally:
            watcher.cancel()

    async def _read_statement(
        self, request: QueryRequest, body: AsyncIterator[bytes]
    ) -> tuple[bytes, statements.InsertHead | None]:
        """The statement's text, or an INSERT's head with the data that came along in the same text."""
        text = request.url_query.encode()
        separator = b"\n" if text else b""
        async for chunk in body:
            text += separator + chunk
            separator = b""
            if head := statements.insert_head(text.decode("latin-1"), complete=False):
                return text, head
            if len(text) > self._limits.statement_bytes:
                raise EndpointError(
                    "QUERY_IS_TOO_LARGE", f"Query is too large. Maximum: {self._limits.statement_bytes} bytes."
                )
        return text, statements.insert_head(text.decode("latin-1"), complete=True)

    # --- queries

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
            first, done = await self._watched(begin, execution, watcher, self._turns)
            answer.format = execution.format
            if done:
                await answer.whole(b"".join(first), execution.progress)
                return
            await answer.begin_stream(first)
            while not done:
                more, done = await self._watched(proceed, execution, watcher)
                await answer.stream(more)
            await answer.end_stream()
        finally:
            if not execution.closed and (close := getattr(pieces, "close", None)):
                await self._in_worker(close)

    async def _watched(
        self, work: Callable[[], T], execution: Execution, watcher: asyncio.Future[None], turns: Turns | None = None
    ) -> T:
        """Run a step in a worker; if the client hangs up meanwhile, cancel the query and see the step end."""
        begun = partial(self._in_worker, work)
        step = asyncio.create_task(turns.take(begun) if turns else begun())
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
        cancelling = asyncio.get_running_loop().run_in_executor(self._cancellers, execution.cancel)
        await asyncio.wait({step})
        execution.ended()
        await cancelling
        if error := step.exception():
            log.info("query %s: stopped, %s", execution.query_id, error)

    async def _in_worker(self, work: Callable[[], T]) -> T:
        """Run in a worker thread; a cancelled caller still waits for the thread, which uses its connection."""
        future = asyncio.get_running_loop().run_in_executor(self._workers, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise

    def _kill(self, request: QueryRequest, query_id: str) -> str:
        """KILL QUERY by id: the ids of HTTP queries are known here and not in the engine. Only one's own queries."""
        found = self._running.get(query_id)
        if found is None or found[0].user != request.user:
            return ""
        self._cancellers.submit(found[1].cancel)
        return f"waiting\t{query_id}\t{request.user.name}\t\n"

    # --- inserts

    async def _insert(
        self,
        execution: Execution,
        head: statements.InsertHead,
        text: bytes,
        body: AsyncIterator[bytes],
        answer: Answer,
    ) -> None:
        """Append the data as it comes and answer after the commit; a client that hangs up before has it cancelled."""
        sql = _decode(text[: len(head.sql)])
        insert = await self._in_worker(lambda: execution.insert(execution.prepare(sql, data_follows=True), head.format))
        batch = bytearray(text[head.data_start :])
        try:
            async for chunk in body:
                batch += chunk
                if len(batch) >= INSERT_BATCH_BYTES:
                    await self._in_worker(partial(insert.append, bytes(batch)))
                    batch.clear()
        except BaseException:
            await self._in_worker(insert.cancel)
            raise

        def commit() -> None:
            if batch:
                insert.append(bytes(batch))
            execution.progress = insert.finish()
            execution.close()

        await self._in_worker(commit)
        await answer.whole(b"", execution.progress)


async def _hang_up(receive: Receive) -> None:
    """Returns when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for chunk in nothing:
        yield chunk


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


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise EndpointError("SYNTAX_ERROR", f"The query is not valid UTF-8: {error.reason}.") from error


def _is_get(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD")
