"""The API as its clients meet it: a process on a real socket, one API key per role."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from headwater.embedded.health import http_body
from headwater.identity.keys import IdentityKeys
from headwater.identity.store import IdentityStore

if TYPE_CHECKING:
    from tests.integration.policy.conftest import Served


@dataclass
class ApiProcess:
    """Asks the API with a role's key (or with headers of one's own); `pid` is the server's."""

    url: str
    pid: int
    served: Served
    keys: IdentityKeys
    client: httpx.Client
    known: dict[str, str] = field(default_factory=dict)

    def key(self, role: str, *scopes: str) -> str:
        name = f"{role} {' '.join(scopes)}"
        if name not in self.known:
            owner = "some.agent" if role == "agent" else f"some.{role}"
            self.known[name], _ = self.keys.create(owner, "of a test", scopes or ("api:*",), 1)
        return self.known[name]

    def headers(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key(role)}"}

    def get(self, role: str, path: str, headers: dict[str, str] | None = None, **parameters: Any) -> httpx.Response:
        return self.client.get(path, params=parameters, headers={**self.headers(role), **(headers or {})})

    def post(self, role: str, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.client.post(path, json=body, headers={**self.headers(role), **(headers or {})})

    def query(self, role: str, sql: str, **more: Any) -> dict[str, Any]:
        answer = self.post(role, "/v1/queries", {"sql": sql, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def rows(self, role: str, dataset: str, **parameters: Any) -> list[list[Any]]:
        """All of them, page by page."""
        found: list[list[Any]] = []
        cursor = None
        while True:
            page = self.get(
                role, f"/v1/datasets/{dataset}/rows", **parameters, **({"cursor": cursor} if cursor else {})
            )
            assert page.status_code == 200, page.text
            found += page.json()["rows"]
            cursor = page.json()["next"]
            assert (cursor is None) is not page.json()["truncated"]
            if cursor is None:
                return found


@contextmanager
def running(served: Served) -> Iterator[ApiProcess]:
    """The process, until the block ends."""
    settings = served.settings
    store = IdentityStore(settings)
    keys = IdentityKeys(settings, store)
    process = subprocess.Popen([sys.executable, "-m", "headwater.api"], env=os.environ.copy())
    url = f"http://127.0.0.1:{settings.api_port}"
    client = httpx.Client(base_url=url, timeout=60)
    try:
        while http_body(f"{url}/health") is None:
            assert process.poll() is None, "the API ended"
        yield ApiProcess(url, process.pid, served, keys, client)
    finally:
        client.close()
        process.terminate()
        process.wait(timeout=30)
        keys.close()
        store.close()
