"""Clients of an HTTP server, all in one event loop with a parser in C, so that what is measured is the server.

A thread and urllib3 for each client took a third of a core from it.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import statistics
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import httptools

from headwater.identity.keys import IdentityKeys
from headwater.identity.store import IdentityStore, UnknownIdentity
from headwater.settings import Settings

TIMEOUT_SECONDS = 60.0


def basic(user: str, password: str) -> str:
    """The header of a login by password."""
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Connection(asyncio.Protocol):
    """One client's connection, kept alive; one question at a time. Its `on_…` are called by the parser."""

    def __init__(self, host: str, port: int, path: str, *headers: str, secure: bool = False) -> None:
        self._place, self._tls = (host, port), ssl.create_default_context() if secure else None
        self._head = "\r\n".join((f"POST {path} HTTP/1.1", f"Host: {host}:{port}", *headers, "Content-Length: "))

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(lambda: self, *self._place, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()

    async def ask(self, query: str) -> bytes:
        """ClickHouse's answer; `RuntimeError` where it is not 200, `TimeoutError` after a minute."""
        return await self.send(f"{query} FORMAT TabSeparated".encode())

    async def send(self, body: bytes) -> bytes:
        """One request with this body; fails as `ask` does."""
        self._parser, self._body = httptools.HttpResponseParser(self), bytearray()
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._transport.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        return await asyncio.wait_for(self._answer, TIMEOUT_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Bytes for the parser."""
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        """A piece of the answer."""
        self._body += data

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if (status := self._parser.get_status_code()) != 200:
            self._answer.set_exception(RuntimeError(f"{status}: {bytes(self._body[:300])!r}"))
        elif not self._answer.done():
            self._answer.set_result(bytes(self._body))

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody answers any more."""
        if not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the server closed the connection"))


async def latencies(
    connect: Callable[[], Connection], queries: Sequence[str], clients: int, seconds: float, every: float = 0.0
) -> list[float]:
    """Seconds of every question that the clients have asked; all are connected, and answered once, before it begins.

    With `every` a question is due so often, and the clients begin spread over that time.
    """
    barrier = asyncio.Barrier(clients)

    async def client(number: int) -> list[float]:
        found: list[float] = []
        async with connect() as connection:
            await connection.ask(queries[number % len(queries)])
            await barrier.wait()
            due = time.perf_counter() + every * number / clients
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                if every:
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                begun = time.perf_counter()
                await connection.ask(queries[(number + len(found)) % len(queries)])
                found.append(time.perf_counter() - begun)
                due = max(due + every, time.perf_counter())
        return found

    return [wait for found in await asyncio.gather(*map(client, range(clients))) for wait in found]


def percentiles(waits: Sequence[float]) -> dict[str, float]:
    """Of seconds, in milliseconds: `p50_ms`, `p95_ms`, `p99_ms`."""
    cuts = statistics.quantiles(waits, n=100)
    return {f"p{p}_ms": round(cuts[p - 1] * 1000, 1) for p in (50, 95, 99)}


def key_of(settings: Settings, name: str, group: str, scope: str) -> str:
    """An API key, good for a day, of a service of the benchmark's own in this group."""
    store = IdentityStore(settings)
    keys = IdentityKeys(settings, store)
    try:
        try:
            store.get(name)
        except UnknownIdentity:
            store.add(name, "service", [group], {}, None)
        return keys.create(name, "benchmark", [scope], 1)[0]
    finally:
        keys.close()
        store.close()
