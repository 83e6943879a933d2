"""What is made of a worker's answers, asked of a small HTTP server that says what the test wants."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headwater.cdc.worker import State, Worker, WorkerRefusedError, WorkerUnavailableError
from headwater.settings import Settings

TRACE = "a.ConnectException: wrapped\n\tat a.B\nCaused by: java.io.IOException: no disk\n\tat d"


class Server(ThreadingHTTPServer):
    """Answers from `answers` by method and path: the last one of a list stays."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[tuple[int, object]]] = {}
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        request = f"{self.command} {self.path}"
        self.server.asked.append(request)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answers = self.server.answers.get(request, [(404, {"error_code": 404, "message": "not found"})])
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        content = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = _answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server():
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def worker(server):
    with Worker(Settings(connect_url=f"http://127.0.0.1:{server.server_port}/")) as one:
        yield one


def answer(server, request, *answers):
    server.answers[request] = list(answers)


def test_what_is_not_there_is_none(worker):
    assert worker.config("headwater-source") is None
    assert worker.state("headwater-source") is None
    assert worker.offsets("headwater-source") == []
    assert worker.restart_failed("headwater-source") is False


def test_the_configuration_comes_without_its_name(worker, server):
    answer(server, "GET /connectors/c/config", (200, {"name": "c", "tasks.max": "1"}))
    assert worker.config("c") == {"tasks.max": "1"}


def test_a_failed_task_is_told_by_its_innermost_cause_and_started_again(worker, server):
    status = {"connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "FAILED", "trace": TRACE}]}
    answer(server, "GET /connectors/c/status", (200, status))
    answer(server, "POST /connectors/c/restart?includeTasks=true&onlyFailed=true", (202, None))
    state = worker.state("c")
    assert (state.failed, state.running, state.cause) == (True, False, "java.io.IOException: no disk")
    assert worker.restart_failed("c") is True
    assert server.asked[-1].startswith("POST")


def test_a_running_connector_is_left_alone(worker, server):
    status = {"connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "RUNNING"}]}
    answer(server, "GET /connectors/c/status", (200, status))
    assert worker.state("c").running
    assert worker.restart_failed("c") is False


def test_a_connector_without_tasks_does_not_run_yet():
    assert not State("RUNNING", ()).running


def test_a_rebalance_is_waited_for(worker, server):
    busy = (409, {"error_code": 409, "message": "rebalance"})
    answer(server, "PUT /connectors/c/config", busy, busy, (200, {}))
    worker.configure("c", {"tasks.max": "1"})
    assert server.asked.count("PUT /connectors/c/config") == 3


def test_a_refusal_says_what_the_worker_said(worker, server):
    answer(server, "PUT /connectors/c/config", (400, {"error_code": 400, "message": "slot.name is wrong"}))
    with pytest.raises(WorkerRefusedError, match="slot.name is wrong"):
        worker.configure("c", {})


def test_a_worker_that_has_trouble_may_be_asked_again(worker, server):
    answer(server, "GET /connectors", (500, {"error_code": 500, "message": "Request timed out"}))
    with pytest.raises(WorkerUnavailableError, match="Request timed out"):
        worker.connectors()


def test_a_worker_that_is_away_is_told_with_the_remedy():
    with (
        Worker(Settings(connect_url="http://127.0.0.1:1")) as worker,
        pytest.raises(WorkerUnavailableError, match="headwater up connect"),
    ):
        worker.connectors()


def test_waiting_ends_with_what_was_seen_last(worker, server):
    status = {"connector": {"state": "UNASSIGNED"}, "tasks": []}
    answer(server, "GET /connectors/c/status", (200, status))
    with pytest.raises(WorkerUnavailableError, match="did not start within.*UNASSIGNED"):
        worker.await_state("c", "start", lambda state: state.running, seconds=0.2)
