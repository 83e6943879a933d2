"""Events over HTTP on the real broker, registry and Postgres, each test with a stream of its own."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest
from fastapi.testclient import TestClient
from tests.streams import StreamCase, sale, stream_case

from headwater.api.app import build_app
from headwater.contracts.model import Contracts
from headwater.settings import Settings
from headwater.sources import topics

pytestmark = pytest.mark.integration


@pytest.fixture
def case(stack: Settings) -> StreamCase:
    return stream_case(stack)


@pytest.fixture
def client(case: StreamCase) -> Iterator[TestClient]:
    with TestClient(build_app(case.settings, Contracts({case.dataset.name: case.dataset}))) as client:
        yield client


def event(number: int, **changes: Any) -> dict[str, Any]:
    """A valid sale as JSON."""
    values = {**sale(number), **changes}
    return {
        k: v.isoformat() if isinstance(v, datetime) else str(v) if k.endswith(("value", "disc")) else v
        for k, v in values.items()
    }


def stored(case: StreamCase) -> list[dict[str, Any]]:
    """The topic's events, decoded by fastavro, with key and place."""
    events = []
    for message in topics.records(case.dataset.topic):
        assert int.from_bytes(message.value()[1:5]) == case.schema_id
        one = fastavro.schemaless_reader(io.BytesIO(message.value()[5:]), case.schema)
        events.append(one | {"key": message.key(), "partition": message.partition(), "offset": message.offset()})
    return events


def test_an_event_is_in_the_topic_where_the_answer_says(case: StreamCase, client: TestClient):
    answer = client.post(f"/v1/events/{case.dataset.name}", json=event(5))
    assert answer.status_code == 202, answer.text
    (place,) = answer.json()["events"]
    (found,) = stored(case)
    assert place == {"index": 0, "partition": found.pop("partition"), "offset": found.pop("offset")}
    assert found.pop("key") == b"5"
    assert found == sale(5)
    assert found["event_timestamp"] == datetime(2017, 3, 1, 10, tzinfo=UTC)
