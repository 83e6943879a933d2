"""The server as a process of its own."""

import os
import signal
import subprocess
import sys
import time

import httpx
import pytest
from tests.integration.api.conftest import event

from headwater.settings import Settings

pytestmark = pytest.mark.integration


def test_serves_on_its_port_and_stops_cleanly(stack: Settings):
    address = f"http://127.0.0.1:{stack.api_port}"
    with subprocess.Popen([sys.executable, "-m", "headwater.api"], env=os.environ) as server:
        try:
            deadline = time.monotonic() + 120
            while not healthy(address):
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            answer = httpx.post(f"{address}/v1/events/transactions", json=event(1))
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert answer.headers["content-type"] == "application/problem+json"
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0
        finally:
            server.kill()


def healthy(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").json() == {"status": "ok"}
    except httpx.TransportError:
        return False
