"""Fault 11: the registry is down. The stream pauses and tries again, and nothing is quarantined."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pyspark.sql import SparkSession
from tests.conftest import free_port_base
from tests.streams import stream_case

from headwater.settings import Settings
from headwater.streaming.runner import StreamRunner

pytestmark = pytest.mark.integration


def test_waits_for_the_registry_and_quarantines_nothing(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    case.sales(*range(10))
    port = free_port_base()
    path = stack.registry_url.split("/", 3)[3]
    away = stack.model_copy(update={"registry_url": f"http://127.0.0.1:{port}/{path}"})
    runner = StreamRunner(spark, away, case.dataset, once=True)

    tend_until(runner, lambda: runner.heartbeat.state == "waiting")
    assert "registry" in runner.heartbeat.reason
    assert case.bronze() == []

    with forwarding(port, stack.registry_port):
        tend_until(runner, lambda: runner.ended)
    assert (runner.heartbeat.state, runner.error) == ("finished", None)
    assert [row["_error"] for row in case.bronze("_error")] == [None] * 10


def tend_until(runner: StreamRunner, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline, runner.heartbeat
        runner.tend()
        time.sleep(0.05)


@contextmanager
def forwarding(port: int, target: int) -> Iterator[None]:
    """Let connections to `port` reach the real registry from now on."""
    with socket.create_server(("127.0.0.1", port)) as server:
        threading.Thread(target=_accept, args=(server, target), daemon=True).start()
        yield


def _accept(server: socket.socket, target: int) -> None:
    while True:
        try:
            near, _ = server.accept()
        except OSError:
            return  # the test is over
        far = socket.create_connection(("127.0.0.1", target))
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
