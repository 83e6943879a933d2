"""A stream, an API key and a client of the API, all of the test's own, on the shared broker, registry and Postgres."""

import io
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from fastapi.testclient import TestClient
from tests.streams import StreamCase, sale, stream_case

from headwater.api.app import build_app
from headwater.api.keys import ApiKeys
from headwater.api.tables import api_database
from headwater.contracts.model import Contracts
from headwater.settings import Settings
from headwater.sources import topics


def event(number: int, **changes: Any) -> dict[str, Any]:
    """A valid sale as JSON."""
    return {name: _plain(value) for name, value in sale(number).items()} | changes


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, Decimal) else value


class Sending:
    """The API as a sender meets it, and the topic as a reader meets it."""

    def __init__(self, client: TestClient, case: StreamCase, keys: ApiKeys) -> None:
        self.client, self.case, self.keys = client, case, keys
        self.path = f"/v1/events/{case.dataset.name}"
        self.key, _ = keys.create("test", [], 60_000)

    def post(self, body: Any = None, key: str | None = None, path: str | None = None, **options: Any):
        headers = {"Authorization": f"Bearer {self.key if key is None else key}", **options.pop("headers", {})}
        if isinstance(body, bytes):
            options["content"] = body
        else:
            options["json"] = body
        return self.client.post(path or self.path, headers=headers, **options)

    def stored(self) -> list[dict[str, Any]]:
        """The topic's events, decoded by fastavro, with key and place."""
        found = []
        for message in topics.records(self.case.dataset.topic):
            assert int.from_bytes(message.value()[1:5]) == self.case.schema_id
            one = fastavro.schemaless_reader(io.BytesIO(message.value()[5:]), self.case.schema)
            found.append(one | {"key": message.key(), "partition": message.partition(), "offset": message.offset()})
        return found

    def ids(self) -> list[str]:
        return sorted(one["event_id"] for one in self.stored())


@pytest.fixture
def sending(stack: Settings) -> Iterator[Sending]:
    case = stream_case(stack)
    database = api_database(stack)
    with TestClient(build_app(stack, Contracts({case.dataset.name: case.dataset}))) as client:
        yield Sending(client, case, ApiKeys(database))
    database.close()
