"""The broker dies under the ingestion API: 503, then 429, nothing accepted; back again, it takes events as before.

And what the API calls acknowledged is there, when the broker died in the middle of a batch too. The broker is one of
the tests' own; registry and Postgres are the shared ones.
"""

import threading
import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from tests.integration.api.conftest import Sending, event
from tests.streams import stream_case

from headwater.api.app import build_app
from headwater.api.keys import ApiKeys
from headwater.api.tables import api_database
from headwater.contracts.model import Contracts
from headwater.embedded import processes
from headwater.embedded import stack as embedded
from headwater.settings import Settings
from headwater.streaming.broker import Broker

pytestmark = [pytest.mark.integration, pytest.mark.fault]
ACK_SECONDS = 5.0


def await_health(client: TestClient, status: str) -> None:
    deadline = time.monotonic() + ACK_SECONDS
    while client.get("/health").json() != {"status": status}:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def sending(stack: Settings, module_home: Settings) -> Iterator[Sending]:
    """The API on a broker that the tests may kill."""
    embedded.up(["kafka"], print)
    changes = {"kafka_bootstrap_servers": module_home.kafka_bootstrap_servers, "api_ack_seconds": ACK_SECONDS}
    settings = stack.model_copy(update={**changes, "api_slow_seconds": 0.2})
    case, database = stream_case(settings), api_database(settings)
    with TestClient(build_app(settings, Contracts({case.dataset.name: case.dataset}))) as client:
        yield Sending(client, case, ApiKeys(database))
    database.close()


def kill_broker(home: Settings) -> None:
    broker = processes.find(home, "kafka")
    assert broker is not None
    broker.process.kill()
    broker.process.wait(10)


def test_nothing_is_accepted_while_the_broker_is_down(sending: Sending, module_home: Settings):
    client = sending.client
    assert sending.post(event(1)).status_code == 202
    kill_broker(module_home)

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
    assert (late.json()["acknowledged"], late.json()["unknown"]) == ([], [0, 1])

    embedded.up(["kafka"], print)
    assert sending.ids() == ["1-1"]
    again = sending.post([event(2), event(3)], headers=name)
    assert (again.status_code, "idempotency-replayed" in again.headers) == (202, False), again.text
    assert sending.ids() == ["1-1", "2-1", "3-1"]


def test_what_is_called_acknowledged_is_there_when_the_broker_dies_in_the_middle(
    sending: Sending, module_home: Settings
):
    """Killed as soon as the first of many events are in the log: whatever the answer is, it holds."""
    batch = [event(n, household_id=n % 50) for n in range(5_000)]
    assert sending.post(event(9_999)).status_code == 202  # the schema is known, the connections are made
    answers: list[Response] = []
    waiting = threading.Thread(target=lambda: answers.append(sending.post(batch)))
    waiting.start()
    ends = Broker(sending.case.settings)
    while waiting.is_alive() and sum(ends.ends(sending.case.dataset.topic).values()) == 1:
        pass  # each look is a request to the broker
    kill_broker(module_home)
    waiting.join(60)
    (answer,) = answers
    embedded.up(["kafka"], print)

    body = answer.json()
    told = body["events"] if answer.status_code == 202 else body["acknowledged"]
    assert answer.status_code in (202, 503), body
    assert len(told) + len(body.get("unknown", [])) == len(batch)
    stored = {one["event_id"]: (one["partition"], one["offset"]) for one in sending.stored()}
    assert len(stored) > 1
    assert {
        batch[one["index"]]["event_id"]: (one["partition"], one["offset"]) for one in told
    }.items() <= stored.items()
    again = sending.post([batch[index] for index in body.get("unknown", [])] or batch[:1])
    assert again.status_code == 202, again.text
    assert {one["event_id"] for one in sending.stored()} == {one["event_id"] for one in [*batch, event(9_999)]}
