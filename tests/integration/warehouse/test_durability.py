"""What was acknowledged is there after a stop, a kill -9, and a kill -9 in the midst of inserts."""

from __future__ import annotations

import signal
import threading

import httpx
import pytest
from tests.integration.warehouse.conftest import WRITER, EndpointProcess, await_true

pytestmark = pytest.mark.integration


def insert_until_refused(endpoint: EndpointProcess, acknowledged: list[int], worker: int) -> None:
    """Insert batches of ten rows; each that was answered with 200 is noted."""
    with httpx.Client(auth=WRITER, timeout=30) as client:
        for batch in range(100_000):
            first = worker * 1_000_000 + batch * 10
            rows = "".join(f"{first + i}\n" for i in range(10))
            try:
                answer = client.post(endpoint.url, content=f"INSERT INTO live.d FORMAT CSV\n{rows}")
            except httpx.TransportError:
                return
            if answer.status_code != 200:
                return
            acknowledged.append(first)


def insert_and_stop(endpoint: EndpointProcess, sign: signal.Signals, round_: int) -> None:
    """Three clients insert, the endpoint ends in the midst of it, starts again, and every acknowledged row is there."""
    acknowledged: list[int] = []
    workers = [
        threading.Thread(target=insert_until_refused, args=(endpoint, acknowledged, round_ * 10 + number))
        for number in range(3)
    ]
    for worker in workers:
        worker.start()
    await_true(lambda: len(acknowledged) >= 30, seconds=60, what=lambda: f"{len(acknowledged)} inserts")
    code = endpoint.stop(sign)
    assert code == (0 if sign == signal.SIGTERM else -signal.SIGKILL)
    for worker in workers:
        worker.join(timeout=30)
    endpoint.start()
    found = {int(line) for line in endpoint.ask("SELECT a FROM live.d").text.split()}
    assert {first + i for first in acknowledged for i in range(10)} <= found
    # A batch is a part: it is there whole or not at all.
    assert len(found) % 10 == 0


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_no_acknowledged_insert_is_lost(own_endpoint: EndpointProcess, sign: signal.Signals) -> None:
    endpoint = own_endpoint
    endpoint.ask("CREATE TABLE live.d (a Int64) ENGINE = MergeTree ORDER BY a")
    endpoint.ask("CREATE TABLE default.plain (a Int64) ENGINE = MergeTree ORDER BY a")
    endpoint.ask("INSERT INTO default.plain VALUES (1)")
    for round_ in range(2):
        insert_and_stop(endpoint, sign, round_)
    assert endpoint.ask("SELECT a FROM default.plain").text == "1\n"


def test_a_stop_lets_a_running_query_end(own_endpoint: EndpointProcess) -> None:
    endpoint = own_endpoint
    answers: list[httpx.Response] = []
    sql = "SELECT 'stopping', count() FROM numbers(20) WHERE sleepEachRow(0.1) = 0"
    asking = threading.Thread(target=lambda: answers.append(endpoint.ask(sql, max_block_size="1")))
    asking.start()
    await_true(
        lambda: (
            endpoint.ask("SELECT count() FROM system.processes WHERE query LIKE 'SELECT \\'stopping%'").text == "1\n"
        ),
        seconds=20,
        what=lambda: "the query never began",
    )
    assert endpoint.stop() == 0
    asking.join(timeout=30)
    assert answers[0].text == "stopping\t20\n"


def test_a_stop_does_not_wait_for_ever(own_endpoint: EndpointProcess) -> None:
    endpoint = own_endpoint
    sql = "SELECT 'endless', sum(sipHash64(number)) FROM numbers(1000000000000)"

    def ask() -> None:
        # Cut off or answered with an error, either will do: what counts is that the stop comes to its end.
        try:
            endpoint.ask(sql)
        except httpx.TransportError:
            return

    asking = threading.Thread(target=ask)
    asking.start()
    await_true(
        lambda: (
            endpoint.ask("SELECT count() FROM system.processes WHERE query LIKE 'SELECT \\'endless%'").text == "1\n"
        ),
        seconds=20,
        what=lambda: "the query never began",
    )
    assert endpoint.stop() == 0
    asking.join(timeout=30)
    assert not asking.is_alive()


def test_a_taken_port_is_told_at_once(endpoint: EndpointProcess, tmp_path: object) -> None:
    import subprocess
    import sys

    second = subprocess.run(
        [sys.executable, "-m", "headwater.warehouse.embedded"],
        env={**endpoint.environment(), "HEADWATER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert f"127.0.0.1:{endpoint.port}: cannot listen" in second.stdout
    assert "HEADWATER_CLICKHOUSE_PORT" in second.stdout
    assert not list(tmp_path.iterdir())  # type: ignore[attr-defined]
