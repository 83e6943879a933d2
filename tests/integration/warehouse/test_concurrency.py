"""Many at once, slow beside quick, and clients that hang up."""

from __future__ import annotations

import socket
import time
import uuid
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.integration.warehouse.conftest import READER, WRITER, EndpointProcess, await_true

pytestmark = pytest.mark.integration

SLOW = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"


def running(endpoint: EndpointProcess, marker: str) -> int:
    """How many queries whose text holds `marker` the engine is working on."""
    sql = f"SELECT count() FROM system.processes WHERE query LIKE '%{marker}%' AND query NOT LIKE '%system.processes%'"
    return int(endpoint.ask(sql).text)


def send(endpoint: EndpointProcess, path: str, body: bytes, length: int | None = None) -> socket.socket:
    """A request on a bare socket, so that the test decides when to hang up."""
    credentials = b64encode(":".join(WRITER).encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", endpoint.port))
    connection.sendall(head.encode() + body)
    return connection


def test_a_client_that_hangs_up_has_its_query_cancelled(endpoint: EndpointProcess) -> None:
    marker = uuid.uuid4().hex
    connection = send(endpoint, "/", f"{SLOW} /* {marker} */ WHERE '{marker}' != ''".encode())
    await_true(lambda: running(endpoint, marker) == 1, seconds=20, what=lambda: "the query never began")
    connection.close()
    await_true(lambda: running(endpoint, marker) == 0, seconds=10, what=lambda: "the query still runs")


def test_a_client_that_hangs_up_in_the_midst_of_an_answer_has_it_cancelled(endpoint: EndpointProcess) -> None:
    marker = uuid.uuid4().hex
    connection = send(endpoint, "/", f"SELECT number FROM numbers(100000000000) WHERE '{marker}' != ''".encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    connection.close()
    await_true(lambda: running(endpoint, marker) == 0, seconds=10, what=lambda: "the query still runs")


def test_a_client_that_hangs_up_within_its_insert_leaves_nothing(endpoint: EndpointProcess) -> None:
    table = f"live.c_{uuid.uuid4().hex[:8]}"
    assert endpoint.ask(f"CREATE TABLE {table} (a Int32) ENGINE = MergeTree ORDER BY a").status_code == 200
    connection = send(endpoint, "/", f"INSERT INTO {table} FORMAT CSV\n1\n2\n".encode(), length=1_000_000)
    connection.close()
    await_true(lambda: "the client hung up" in endpoint.log, seconds=10, what=lambda: endpoint.log)
    assert endpoint.ask(f"SELECT count() FROM {table}").text == "0\n"


def test_quick_queries_do_not_wait_for_slow_ones(endpoint: EndpointProcess) -> None:
    marker = uuid.uuid4().hex
    slow = [send(endpoint, "/", f"{SLOW} WHERE '{marker}' != ''".encode()) for _ in range(8)]
    try:
        await_true(lambda: running(endpoint, marker) == 8, seconds=30, what=lambda: "not all eight run at once")
        begun = time.monotonic()
        assert endpoint.ask("SELECT 1", READER).text == "1\n"
        assert time.monotonic() - begun < 5
        assert running(endpoint, marker) == 8
    finally:
        for connection in slow:
            connection.close()
    await_true(lambda: running(endpoint, marker) == 0, seconds=20, what=lambda: "a query still runs")


def test_a_query_is_killed_by_its_id_and_only_by_its_user(endpoint: EndpointProcess) -> None:
    query_id = uuid.uuid4().hex
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(endpoint.ask, f"{SLOW} WHERE '{query_id}' != ''", query_id=query_id)
        await_true(lambda: running(endpoint, query_id) == 1, seconds=20, what=lambda: "the query never began")
        assert endpoint.ask(f"KILL QUERY WHERE query_id = '{query_id}'", READER).text == ""
        same = endpoint.ask("SELECT 1", query_id=query_id)
        assert same.headers["x-clickhouse-exception-code"] == "216"
        assert query_id in endpoint.ask(f"KILL QUERY WHERE query_id = '{query_id}' SYNC").text
        assert slow.result(timeout=20).headers["x-clickhouse-exception-code"] == "394"


def test_a_hundred_clients_get_their_own_answers(endpoint: EndpointProcess) -> None:
    def ask(number: int) -> bool:
        with httpx.Client(auth=READER, timeout=60) as client:
            answers = [client.post(endpoint.url, content=f"SELECT {number} + {i} FORMAT CSV").text for i in range(5)]
        return answers == [f"{number + i}\n" for i in range(5)]

    with ThreadPoolExecutor(100) as pool:
        assert all(pool.map(ask, range(100)))


def test_one_session_is_for_one_query_at_a_time(endpoint: EndpointProcess) -> None:
    session = uuid.uuid4().hex
    connection = send(endpoint, f"/?session_id={session}", f"{SLOW} WHERE '{session}' != ''".encode())
    await_true(lambda: running(endpoint, session) == 1, seconds=20, what=lambda: "the query never began")
    locked = endpoint.ask("SELECT 1", session_id=session)
    assert locked.headers["x-clickhouse-exception-code"] == "373"
    connection.close()
    await_true(
        lambda: endpoint.ask("SELECT 1", session_id=session).status_code == 200,
        seconds=10,
        what=lambda: "the session is never given back",
    )


def test_a_cancelled_query_takes_no_other_along(endpoint: EndpointProcess) -> None:
    """Readers' connections are used again, and queries are cancelled by their connection's mark."""

    def quick(number: int) -> str:
        return endpoint.ask(f"SELECT sum(number) + {number} FROM numbers(100000)", READER).text

    def hang_up(number: int) -> None:
        credentials = b64encode(":".join(READER).encode()).decode()
        body = b"SELECT sum(number) FROM numbers(3000000)"
        head = (
            f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", endpoint.port)) as connection:
            connection.sendall(head.encode() + body)

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(quick, number) for number in range(100) if not pool.submit(hang_up, number).cancelled()]
        assert [answer.result() for answer in answers] == [f"{4999950000 + number}\n" for number in range(100)]
