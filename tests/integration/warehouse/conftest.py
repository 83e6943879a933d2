"""The real endpoint as a process of its own, on a free port, with its own data."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import clickhouse_connect
import httpx
import pytest

PROJECT = Path(__file__).resolve().parents[3]
WRITER = ("headwater", "writer-secret")
SECRET = "the-secret-of-this-machine"
READER = ("reader", "reader-secret")


@dataclass
class EndpointProcess:
    """A running endpoint; `start` and `stop` may be called again and again, the data stays."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def log(self) -> str:
        return (self.home / "endpoint.log").read_text()

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HEADWATER_HOME": str(self.home),
            "HEADWATER_CLICKHOUSE_HOST": "127.0.0.1",
            "HEADWATER_CLICKHOUSE_PORT": str(self.port),
            "HEADWATER_CLICKHOUSE_USER": WRITER[0],
            "HEADWATER_CLICKHOUSE_PASSWORD": WRITER[1],
            "HEADWATER_CLICKHOUSE_READER_USER": READER[0],
            "HEADWATER_CLICKHOUSE_READER_PASSWORD": READER[1],
            "HEADWATER_CLICKHOUSE_READER_MAX_ROWS": "1000000",
            "HEADWATER_CLICKHOUSE_READER_MAX_SECONDS": "20",
            "HEADWATER_CLICKHOUSE_STOP_SECONDS": "5",
            "PYTHONPATH": str(PROJECT / "include"),
        }

    def start(self) -> None:
        with (self.home / "endpoint.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headwater.warehouse.embedded"],
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        await_true(self.answers, seconds=60, what=lambda: f"no answer to /ping: {self.log}")

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(self.url + "ping").text == "Ok.\n"
        return False

    def stop(self, sign: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(sign)
        return self.process.wait(timeout=60)

    def ask(self, sql: str, user: tuple[str, str] = WRITER, **params: str) -> httpx.Response:
        return httpx.post(self.url, content=sql, params=params, auth=user, timeout=60)

    def client(self, user: tuple[str, str] = WRITER, **options: object) -> clickhouse_connect.driver.client.Client:
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port, username=user[0], password=user[1], **options
        )


def await_true(condition: Callable[[], bool], *, seconds: float, what: Callable[[], str]) -> None:
    """Poll until the condition holds; fail with `what()` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(what())
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def make_endpoint(home: Path) -> EndpointProcess:
    home.mkdir(parents=True, exist_ok=True)
    return EndpointProcess(home, free_port())


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndpointProcess]:
    """One endpoint for all tests here that do not harm it."""
    running = make_endpoint(tmp_path_factory.mktemp("clickhouse"))
    running.start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop()


@pytest.fixture
def own_endpoint(tmp_path: Path) -> Iterator[EndpointProcess]:
    """An endpoint that the test may kill."""
    running = make_endpoint(tmp_path / "home")
    running.start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "secret.csv"
    path.write_text(SECRET + "\n")
    return path


@pytest.fixture(scope="module")
def tables(endpoint: EndpointProcess) -> None:
    for sql in (
        "CREATE TABLE IF NOT EXISTS gold.sales (a Int32) ENGINE = MergeTree ORDER BY a",
        "TRUNCATE TABLE gold.sales",
        "INSERT INTO gold.sales VALUES (1), (2)",
        "CREATE DATABASE IF NOT EXISTS hidden",
        f"CREATE OR REPLACE TABLE hidden.wages (s String) ENGINE = Memory AS SELECT '{SECRET}' AS s",
    ):
        assert endpoint.ask(sql).status_code == 200, sql


def refused(answer: httpx.Response) -> bool:
    """Whether ClickHouse's kind of error came back, and nothing of what is secret."""
    return answer.status_code >= 400 and "x-clickhouse-exception-code" in answer.headers and SECRET not in answer.text
