"""A body that is too long is not read to its end."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import Body, FastAPI
from fastapi.testclient import TestClient

from headwater.api import refusing
from headwater.api.bounded import Bounded

TAKEN: list[int] = []


def client() -> TestClient:
    app = FastAPI()
    app.add_middleware(Bounded, most=1000)
    for kind in refusing.KINDS:
        app.add_exception_handler(kind, refusing.refusal)

    @app.post("/v1/queries")
    @app.post("/v1/events/one")
    def take(body: dict[str, str] = Body()) -> dict[str, int]:  # noqa: B008
        TAKEN.append(1)
        return {}

    return TestClient(app)


def chunks(bytes_each: int, count: int) -> Iterator[bytes]:
    yield b'{"a": "'
    yield from (b"x" * bytes_each for _ in range(count))
    yield b'"}'


def test_a_length_that_is_told_is_judged_by_it():
    TAKEN.clear()
    answer = client().post("/v1/queries", json={"a": "x" * 1000})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert client().post("/v1/queries", json={"a": "x" * 900}).status_code == 200
    assert len(TAKEN) == 1


def test_a_body_that_goes_on_is_refused_on_its_way():
    TAKEN.clear()
    headers = {"content-type": "application/json"}
    assert client().post("/v1/queries", content=chunks(100, 50), headers=headers).status_code in (400, 413)
    assert client().post("/v1/queries", content=chunks(100, 5), headers=headers).status_code == 200
    assert len(TAKEN) == 1


def test_events_have_a_bound_of_their_own():
    assert client().post("/v1/events/one", json={"a": "x" * 5000}).status_code == 200
