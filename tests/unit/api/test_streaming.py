"""Rows that went out in a stream are counted and on record, wherever it ended, and what it held is let go of."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from starlette.requests import ClientDisconnect

from headwater.api.reading.answers import Asked
from headwater.api.routes.answers import CSV
from headwater.api.routes.streaming import Passing, RowsResponse

ASKED = Asked("SELECT 1", {}, ("gold.fct_sales",), "SELECT 1", 10)


class Call:
    """A call, and what is on record of it: rows, and the kind of error it ended with."""

    def __init__(self) -> None:
        self.record: list[Any] = []

    def answered(self, *, datasets: tuple[str, ...], rows: int | None, sql: str) -> int:
        self.record.append((datasets, rows))
        return 1

    def __enter__(self) -> Call:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.record.append(kind.__name__)


class Rows:
    """An answer of one row to a piece, that may break."""

    def __init__(self, breaks: bool = False) -> None:
        self.breaks = breaks
        self.closed = 0

    def pieces(self) -> Iterator[bytes]:
        yield b'"a"\n'
        for number in range(5):
            yield f"{number}\n".encode()
        if self.breaks:
            raise OSError("gone")

    def close(self) -> None:
        self.closed += 1


def sent(rows: Rows, call: Call, leaves_after: int | None = None, version: str = "2.3") -> bytes:
    """What a client gets who leaves behind so many messages; the first is the head."""
    got: list[bytes] = []
    gone = anyio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if leaves_after is not None and len(got) >= leaves_after:
            if version == "2.4":
                raise OSError("gone")
            gone.set()
            await anyio.sleep_forever()
        got.append(message.get("body", b""))

    async def run() -> None:
        passing = Passing(SimpleNamespace(asking=call), ASKED, rows, CSV)
        response = RowsResponse(passing, {}, CSV)
        await response({"type": "http", "asgi": {"spec_version": version}}, receive, send)

    anyio.run(run)
    return b"".join(got)


TABLES = ("gold.fct_sales",)


def test_a_whole_stream_is_on_record_once():
    rows, call = Rows(), Call()
    assert sent(rows, call) == b'"a"\n0\n1\n2\n3\n4\n'
    assert call.record == [(TABLES, 5)]
    assert rows.closed == 1


def test_what_went_out_before_a_client_left_is_on_record_and_spent():
    rows, call = Rows(), Call()
    sent(rows, call, leaves_after=3)
    assert call.record == [(TABLES, 2), "GeneratorExit"]
    assert rows.closed == 1


def test_a_client_that_left_before_the_first_row_holds_nothing():
    rows, call = Rows(), Call()
    sent(rows, call, leaves_after=0)
    assert call.record == [(TABLES, 0)]
    assert rows.closed == 1


def test_a_connection_that_breaks_ends_it_too():
    rows, call = Rows(), Call()
    with pytest.raises(ClientDisconnect):
        sent(rows, call, leaves_after=3, version="2.4")
    assert call.record == [(TABLES, 2), "GeneratorExit"]
    assert rows.closed == 1


def test_an_answer_that_breaks_off_is_on_record_with_its_rows():
    rows, call = Rows(breaks=True), Call()
    with pytest.raises(OSError, match="gone"):
        sent(rows, call)
    assert call.record == [(TABLES, 5), "OSError"]
    assert rows.closed == 1
