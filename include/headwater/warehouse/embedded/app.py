"""The ASGI application: routes, who is let in, and where a request's statement ends and its data begins.

`/` takes queries, `/ping` and `/replicas_status` answer health checks. What happens to a statement is `delivery`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TypeVar

from headwater.warehouse.embedded import statements
from headwater.warehouse.embedded.access import User, Users, credentials
from headwater.warehouse.embedded.answer import Answer
from headwater.warehouse.embedded.delivery import Delivery, decode
from headwater.warehouse.embedded.engine import Engine
from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.execution import Execution
from headwater.warehouse.embedded.limits import Limits
from headwater.warehouse.embedded.members import Cost, Members
from headwater.warehouse.embedded.recording import Recording
from headwater.warehouse.embedded.request import (
    ClientDisconnect,
    QueryRequest,
    Receive,
    Scope,
    Send,
    decoded_body,
    head_of,
    read_form,
    read_head,
)
from headwater.warehouse.embedded.sessions import Sessions
from headwater.warehouse.embedded.workers import Workers

log = logging.getLogger(__name__)

INSERT_BATCH_BYTES = 1 << 20
SEND_BYTES = 1 << 16
T = TypeVar("T")
_KILL = re.compile(
    r"\s*KILL\s+QUERY\s+WHERE\s+query_id\s*=\s*'([^'\\]*)'\s*(?:SYNC|ASYNC|TEST)?\s*(?:FORMAT\s+\w+)?\s*;?\s*", re.I
)


class Endpoint:
    """The application. One per process, since the engine is."""

    def __init__(self, engine: Engine, users: Users, limits: Limits, members: Members | None = None) -> None:
        self._engine = engine
        self._users = users
        self._members = members
        self._limits = limits
        self._sessions = Sessions()
        self._logins: dict[tuple[str, str], asyncio.Task[User]] = {}
        self._running: dict[str, tuple[QueryRequest, Execution]] = {}
        self._workers = Workers(limits)
        self._delivery = Delivery(self._workers, Recording(members.auditor if members is not None else None))

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
            await self._workers.run_aside(self._sessions.expire)

    def close(self) -> None:
        """Let the engine go; no query runs any more."""
        self._workers.close()
        if self._members is not None:
            self._members.close()
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
            request = read_head(scope, await self._authenticate(scope))
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
                        await self._workers.run(execution.close)
        except EndpointError as error:
            log.info("query %s: %s", answer.query_id, error.name)
            await answer.error(error)
        except ClientDisconnect:
            log.info("query %s: the client hung up", answer.query_id)
        except Exception as error:
            log.exception("query %s", answer.query_id)
            await answer.error(EndpointError("UNKNOWN_EXCEPTION", f"{type(error).__name__}; see the endpoint's log."))

    async def _authenticate(self, scope: Scope) -> User:
        """The user: one of the settings', or else one to whom the policy gives a role."""
        headers, params = head_of(scope)
        name, password = credentials(headers, params)
        if self._members is None or name in self._users:
            return self._users.authenticate(headers, params)
        if (user := self._members.remembered(name, password)) is not None:
            return user
        # A hundred connections of one BI tool come with the same login when it is no longer remembered: one is checked.
        task = self._logins.get((name, password))
        if task is None:
            source = (scope.get("client") or ("",))[0]
            task = self._logins[name, password] = asyncio.create_task(
                self._login(self._members, name, password, source)
            )
            task.add_done_callback(lambda _: self._logins.pop((name, password)))
        return await asyncio.shield(task)

    async def _login(self, members: Members, name: str, password: str, source: str) -> User:
        login = partial(members.authenticate, name, password, source)
        match members.cost(name, password):
            case Cost.NONE:
                return await self._workers.run_aside(login)
            case Cost.LOOK_UP:
                return await self._workers.check_key(login)
            case Cost.HASH:
                return await self._workers.check(login)

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
            await self._delivery.insert(execution, head, text, body, answer)
            return
        sql = decode(text)
        if not sql.strip():
            raise EndpointError("SYNTAX_ERROR", "Empty query.")
        if match := _KILL.fullmatch(sql):
            await answer.plain(200, self._kill(request, match.group(1)))
            return
        await self._delivery.rows(execution, sql, receive, answer)

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

    def _kill(self, request: QueryRequest, query_id: str) -> str:
        """KILL QUERY by id: the ids of HTTP queries are known here and not in the engine. Only one's own queries."""
        found = self._running.get(query_id)
        if found is None or found[0].user != request.user:
            return ""
        self._workers.cancel(found[1])
        return f"waiting\t{query_id}\t{request.user.name}\t\n"


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for chunk in nothing:
        yield chunk


def _is_get(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD")
