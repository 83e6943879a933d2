"""Fault 27: the policy engine is down, slow, or its bundle is broken: denied, at the gate and at the endpoint."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.faults.serving.conftest import Guarded

from headwater.policy.model import Surface
from headwater.serving.asking import Denied, Gate
from headwater.warehouse.client import writer

pytestmark = [pytest.mark.integration, pytest.mark.fault]

ROWS = "SELECT count() FROM fct_sales"


@contextmanager
def closing(gate: Gate) -> Iterator[Gate]:
    try:
        yield gate
    finally:
        gate.close()


def denied(guarded: Guarded, gate: Gate) -> str:
    with pytest.raises(Denied) as caught:
        gate.ask(gate.authenticated(f"Bearer {guarded.provider.token('faulty.engine')}"), "query")
    entry = guarded.recorded(who="faulty.engine")[0]
    assert entry["outcome"] == "denied"
    return ", ".join(caught.value.reasons)


def test_an_engine_that_is_not_there_denies(guarded):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with closing(guarded.gate(opa_url=dead)) as gate:
        assert "ConnectError" in denied(guarded, gate)


def test_an_engine_that_does_not_answer_in_time_denies(guarded):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with closing(guarded.gate(opa_url=url)) as gate:
            gate.caller(gate.service())  # what is not the decision is done before the clock runs
            begun = time.monotonic()
            assert "Timeout" in denied(guarded, gate)
            assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "body", [b"{}", b'{"result": null}', b'{"result": "allow"}', b"not json", b'{"result": [1]}', b'{"result": {}}']
)
def test_an_engine_that_says_something_else_denies(guarded, body):
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    with answering(answer) as url, closing(guarded.gate(opa_url=url)) as gate:
        assert denied(guarded, gate)


def test_an_engine_that_fails_denies(guarded):
    answer = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"
    with answering(answer) as url, closing(guarded.gate(opa_url=url)) as gate:
        assert "HTTPStatusError" in denied(guarded, gate)


@pytest.mark.parametrize("broken", ["no json", '{"version": "x"}', "rego"])
def test_a_broken_bundle_lets_nobody_in_anywhere(guarded, broken):
    """The newest row of platform.policy is in force: one that cannot be read denies, and the next good one allows."""
    before = guarded.ask(ROWS, bearer=guarded.provider.token())
    assert before.status_code == 200, before.text
    client = writer()
    try:
        text = str(
            client.query("SELECT policy FROM platform.policy ORDER BY applied_at DESC LIMIT 1").result_rows[0][0]
        )
        bad = json.dumps(json.loads(text) | {"rego": "package headwater.decision\n\ndeny contains if {"})
        put(client, bad if broken == "rego" else broken)
        wait(lambda: guarded.ask(ROWS, bearer=guarded.provider.token()).status_code != 200)
        answer = guarded.ask(ROWS, bearer=guarded.provider.token())
        assert "ACCESS_DENIED" in answer.text
        with closing(guarded.gate(Surface.MCP)) as gate:
            assert denied(guarded, gate)
            with pytest.raises(Denied):
                gate.ask(gate.service(), "query")
        put(client, text)
        wait(lambda: guarded.ask(ROWS, bearer=guarded.provider.token()).status_code == 200)
    finally:
        client.close()


def put(client, text: str) -> None:
    newest = "SELECT max(applied_at) + toIntervalMicrosecond(1) FROM platform.policy"
    client.command(
        f"INSERT INTO platform.policy (version, applied_at, policy) SELECT 'test', ({newest}), {{text:String}}",
        parameters={"text": text},
    )


def wait(condition) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that gives every request this answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
