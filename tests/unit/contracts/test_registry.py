"""The registry's client tells 'not known' from 'not there', against real HTTP answers on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from pydantic import SecretStr

from headwater.contracts.registry import (
    IncompatibleSchemaError,
    RegistryClient,
    RegistryRefusedError,
    RegistryUnavailableError,
    SchemaNotFoundError,
)
from headwater.errors import HeadwaterError
from headwater.settings import Settings


@contextmanager
def _answering(status: int, body: str | Callable[[str], str]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every request so (or by its path); yields its URL and the Authorization headers it saw."""
    seen: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            content = (body if isinstance(body, str) else body(self.path)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


OWN = '{"error_code": 40403, "message": "Schema not found"}'
ANSWERS: dict[str, tuple[int, str, type[HeadwaterError]]] = {
    "an id it does not know": (404, OWN, SchemaNotFoundError),
    "a 404 that is not the registry's": (404, "<html>no such page</html>", RegistryRefusedError),
    "an overloaded registry": (503, "", RegistryUnavailableError),
    "an error inside the registry": (500, '{"error_code": 50001, "message": "store"}', RegistryUnavailableError),
    "no rights": (401, '{"error_code": 401, "message": "who?"}', RegistryRefusedError),
    "an answer that is no JSON": (200, "<html>hello</html>", RegistryRefusedError),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_each_answer_is_its_own_error(case: str) -> None:
    status, body, expected = ANSWERS[case]
    with _answering(status, body) as (url, _), RegistryClient(Settings(registry_url=url)) as registry:
        with pytest.raises(HeadwaterError) as caught:
            registry.version("sales-value", 7)
        assert type(caught.value) is expected
        assert caught.value.retryable is (expected is RegistryUnavailableError)


def test_an_incompatible_schema_is_told_from_other_refusals() -> None:
    body = json.dumps({"error_code": 409, "message": "reader field missing default"})
    refusal = pytest.raises(IncompatibleSchemaError, match="reader field missing default")
    with _answering(409, body) as (url, _), RegistryClient(Settings(registry_url=url)) as registry, refusal:
        registry.register("t-value", {"type": "string"})


def test_a_registry_that_is_not_there_is_worth_another_try() -> None:
    with _answering(200, "[]") as (url, _):
        pass  # the port is free again, and nobody listens
    with RegistryClient(Settings(registry_url=url)) as registry, pytest.raises(RegistryUnavailableError) as caught:
        registry.versions("t-value")
    assert caught.value.retryable


def test_a_subject_that_is_not_there_has_no_versions() -> None:
    with _answering(404, OWN) as (url, _), RegistryClient(Settings(registry_url=url)) as registry:
        assert registry.versions("t-value") == []


def test_the_user_is_sent_and_the_password_never_told() -> None:
    with _answering(401, "") as (url, seen):
        settings = Settings(registry_url=url, registry_username="ann", registry_password=SecretStr("hush-hush"))
        with RegistryClient(settings) as registry, pytest.raises(RegistryRefusedError) as caught:
            registry.versions("t-value")
    assert seen[0].startswith("Basic ")
    assert "hush-hush" not in str(caught.value)


def test_types_of_other_subjects_are_put_into_a_schema() -> None:
    money = {"type": "record", "name": "Money", "namespace": "db", "fields": [{"name": "cents", "type": "long"}]}
    row = {"type": "record", "name": "Row", "namespace": "db", "fields": [{"name": "price", "type": "db.Money"}]}
    refers = {"name": "db.Money", "subject": "db.Money", "version": 2}
    answers = {
        "/subjects/t-value/versions/1": {"id": 7, "schema": json.dumps(row), "references": [refers]},
        "/subjects/db.Money/versions/2": {"id": 3, "schema": json.dumps(money)},
    }
    with (
        _answering(200, lambda path: json.dumps(answers[path])) as (url, _),
        RegistryClient(Settings(registry_url=url)) as registry,
    ):
        schema_id, schema = registry.version("t-value", 1)
    assert schema_id == 7
    assert schema["fields"][0]["type"] == money
