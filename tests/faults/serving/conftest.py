"""An endpoint with rows, a policy in force, identities, and an OpenID provider, for the faults of the serving side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.conftest import environment, temporary_home
from tests.integration.policy.conftest import Served, serve
from tests.openid import Provider

from headwater.audit.reading import Sought, search
from headwater.embedded import stack as embedded
from headwater.policy.model import Surface
from headwater.serving.asking import Gate
from headwater.settings import Settings


@dataclass
class Guarded:
    """What runs, and how to come to it."""

    served: Served
    provider: Provider
    settings: Settings

    def ask(self, sql: str, *, user: str = "", password: str = "", bearer: str = "") -> httpx.Response:
        """A query at the endpoint."""
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        if user:
            headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
        url = f"http://127.0.0.1:{self.settings.clickhouse_port}/"
        return httpx.post(url, content=sql, headers=headers, timeout=30)

    def gate(self, surface: Surface = Surface.API, **changes: Any) -> Gate:
        """A gate with these settings; close it."""
        return Gate(self.settings.model_copy(update=changes), surface)

    def recorded(self, limit: int = 1, **sought: str) -> list[dict[str, Any]]:
        """The newest entries of the audit trail."""
        return list(search(self.settings, Sought(**sought), limit=limit))


@pytest.fixture(scope="package")
def guarded() -> Iterator[Guarded]:
    with Provider() as provider, temporary_home():
        claims = {"HEADWATER_OIDC_ISSUER": provider.issuer, "HEADWATER_OIDC_ATTRIBUTES_CLAIM": "attributes"}
        with environment(**claims, HEADWATER_AUDIT_CHECKPOINT_SECONDS="0.5"):
            try:
                served = serve()
                yield Guarded(served, provider, served.settings)
            finally:
                embedded.down(print, wipe=True)
