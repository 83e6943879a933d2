"""The broker dies under the ingestion API: 503, then 429, nothing accepted; back again, it takes events as before.

The broker is one of the test's own; registry and Postgres are the shared ones.
"""

import threading
import time

import pytest
from fastapi.testclient import TestClient
from tests.integration.api.conftest import Sending, event
from tests.streams import stream_case

from headwater.api.app import build_app
from headwater.api.database import Database
from headwater.api.keys import ApiKeys
from headwater.contracts.model import Contracts
from headwater.embedded import processes
from headwater.embedded import stack as embedded
from headwater.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.fault]
ACK_SECONDS = 5.0


def await_health(client: TestClient, status: str) -> None:
    deadline = time.monotonic() + ACK_SECONDS
    while client.get("/health").json() != {"status": status}:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nothing_is_accepted_while_the_broker_is_down(stack: Settings, own_home: Settings):
    embedded.up(["kafka"], print)
    changes = {"kafka_bootstrap_servers": own_home.kafka_bootstrap_servers, "api_ack_seconds": ACK_SECONDS}
    settings = stack.model_copy(update={**changes, "api_slow_seconds": 0.2})
    case, database = stream_case(settings), Database(settings)
    with TestClient(build_app(settings, Contracts({case.dataset.name: case.dataset}))) as client:
        sending = Sending(client, case, ApiKeys(database))
        assert sending.post(event(1)).status_code == 202
        broker = processes.find(own_home, "kafka")
        assert broker is not None
        broker.process.kill()
        broker.process.wait(10)

        answers = []
        name = {"Idempotency-Key": "again"}
        waiting = threading.Thread(target=lambda: answers.append(sending.post([event(2), event(3)], headers=name)))
        waiting.start()
        await_health(client, "busy")
        refused = sending.post(event(4))
        assert waiting.is_alive()
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:headwater:problem:busy")
        assert int(refused.headers["retry-after"]) > 0
        waiting.join(60)
        (late,) = answers
        assert (late.status_code, late.json()["type"]) == (503, "urn:headwater:problem:not-acknowledged")
        assert int(late.headers["retry-after"]) > 0
        assert "errors" not in late.json()  # those that it acknowledged after all

        embedded.up(["kafka"], print)
        assert sending.ids() == ["1-1"]
        again = sending.post([event(2), event(3)], headers=name)
        assert (again.status_code, "idempotency-replayed" in again.headers) == (202, False), again.text
        assert sending.ids() == ["1-1", "2-1", "3-1"]
    database.close()
