"""The answer of one request: ClickHouse's headers, whole or streamed bodies, errors before and after the first byte."""

from __future__ import annotations

import json
import secrets
import string
import time

from headwater.warehouse.embedded import compression, formats
from headwater.warehouse.embedded.engine import Engine, Progress
from headwater.warehouse.embedded.errors import EndpointError, veiled
from headwater.warehouse.embedded.request import QueryRequest, Send


class Answer:
    """Writes one answer. `describe` tells it what is known of the request."""

    def __init__(self, send: Send, engine: Engine) -> None:
        self._send = send
        self._engine = engine
        self._request: QueryRequest | None = None
        self._codec: compression.Codec = compression.Plain()
        self._started = False
        self._begun = time.perf_counter_ns()
        self._tag = "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))
        self.format = "TabSeparated"
        self.query_id = "-"

    def describe(self, request: QueryRequest) -> None:
        """The request is read: its id and encodings are known."""
        self._request = request
        self.query_id = request.query_id

    async def plain(self, status: int, text: str) -> None:
        """A short text that is no query's answer."""
        headers = self._headers("text/plain; charset=UTF-8")
        await self._write(status, headers, text.encode())

    async def error(self, error: EndpointError) -> None:
        """An error: with status and code before the first byte; after it within the body, and the connection is cut."""
        if self._request is not None and self._request.user.database:
            error = veiled(error)
        if self._started:
            await self._error_in_stream(error)
            return
        headers = self._headers("text/plain; charset=UTF-8")
        headers.append((b"x-clickhouse-exception-code", str(error.code).encode()))
        body = error.body(self._engine.version).encode()
        if self._request is not None and self._request.blocks_out:
            # The JDBC driver decompresses an error as it does any other body.
            codec = compression.BlockEncoder()
            await self._write(error.status, headers, codec.feed(body) + codec.finish())
            return
        await self._write(error.status, headers, body)

    async def _error_in_stream(self, error: EndpointError) -> None:
        """ClickHouse's way since 25.11: the text between two markers with the tag of the header.

        The body is left without its end, so that the server closes the connection and every client notices.
        """
        text = error.body(self._engine.version).encode()
        tag = self._tag.encode()
        block = b"\r\n__exception__\r\n" + tag + b"\r\n" + text
        block += f"{len(text)} ".encode() + tag + b"\r\n__exception__\r\n"
        await self._body(self._codec.feed(block) + self._codec.finish(), more=True)

    async def whole(self, data: bytes, progress: Progress) -> None:
        """An answer that is complete, with its summary."""
        headers = self._query_headers(progress)
        await self._write(200, headers, self._codec.feed(data) + self._codec.finish() if data else b"")

    async def begin_stream(self, pieces: list[bytes]) -> None:
        """Headers and the first pieces."""
        self._started = True
        headers = self._query_headers(Progress())
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.stream(pieces)

    async def stream(self, pieces: list[bytes]) -> None:
        """More of the body."""
        if data := self._codec.feed(b"".join(pieces)):
            await self._body(data, more=True)

    async def end_stream(self) -> None:
        """The end of the body."""
        await self._body(self._codec.finish(), more=False)

    # --- parts

    def _headers(self, content_type: str) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"content-type", content_type.encode()),
            (b"x-clickhouse-server-display-name", self._engine.host_name.encode()),
            (b"x-clickhouse-timezone", self._engine.timezone.encode()),
        ]
        if self._request is not None:
            headers.append((b"x-clickhouse-query-id", self.query_id.encode("latin-1", "replace")))
        return headers

    def _query_headers(self, progress: Progress) -> list[tuple[bytes, bytes]]:
        headers = self._headers(formats.content_type(self.format))
        request = self._request
        if request is not None:
            encoding = request.content_encoding
            self._codec = compression.encoder(encoding, native=request.blocks_out)
            if encoding:
                headers.append((b"content-encoding", encoding.encode()))
                headers.append((b"vary", b"Accept-Encoding"))
        headers.append((b"x-clickhouse-format", self.format.encode()))
        headers.append((b"x-clickhouse-exception-tag", self._tag.encode()))
        headers.append((b"x-clickhouse-summary", self._summary(progress).encode()))
        return headers

    def _summary(self, progress: Progress) -> str:
        """All values are strings, as ClickHouse writes them. What was read to answer is no business of most members."""
        user = self._request.user if self._request is not None else None
        hidden = user is not None and bool(user.database) and not user.counts
        read_rows, read_bytes = (0, 0) if hidden else (progress.read_rows, progress.read_bytes)
        values = {
            "read_rows": read_rows,
            "read_bytes": read_bytes,
            "written_rows": progress.written_rows,
            "written_bytes": progress.written_bytes,
            "total_rows_to_read": read_rows,
            "result_rows": progress.result_rows or progress.written_rows,
            "result_bytes": progress.result_bytes or progress.written_bytes,
            "elapsed_ns": time.perf_counter_ns() - self._begun,
        }
        return json.dumps({name: str(value) for name, value in values.items()}, separators=(",", ":"))

    async def _write(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._body(body, more=False)

    async def _body(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})
