"""Every answer says its version; a route that is going away says since when, until when, and what follows."""

from __future__ import annotations

from datetime import date

from fastapi import FastAPI
from fastapi.testclient import TestClient

from headwater.api.versions import Deprecated, Versioned


def test_headers_of_version_and_of_a_route_that_goes_away():
    app = FastAPI()
    app.add_middleware(
        Versioned,
        deprecated={"/v1/old/[^/]+": Deprecated(date(2026, 1, 1), date(2027, 1, 1), "/v2/new")},
    )

    @app.get("/v1/{rest:path}")
    @app.get("/health")
    def anything() -> dict[str, str]:
        return {}

    client = TestClient(app)
    old, new = client.get("/v1/old/one").headers, client.get("/v1/old/one/two").headers
    assert old["deprecation"] == "@1767225600"
    assert old["sunset"] == "Fri, 01 Jan 2027 00:00:00 GMT"
    assert old["link"] == '</v2/new>; rel="successor-version"'
    assert "deprecation" not in new
    assert new["headwater-api-version"] == "1"
    assert "headwater-api-version" not in client.get("/health").headers
