"""What `/openapi.json` says: every route logs in, refuses as a problem, and the pages load nothing from elsewhere."""

from __future__ import annotations

import re

import pytest

from headwater.api import pages
from headwater.api.app import build_app
from headwater.contracts.loader import load_contracts
from headwater.settings import get_settings

APP = build_app(get_settings(), load_contracts())
DESCRIPTION = APP.openapi()
OPERATIONS = [
    (path, verb, operation) for path, verbs in DESCRIPTION["paths"].items() for verb, operation in verbs.items()
]


def test_every_route_but_health_asks_who_it_is():
    open_routes = {path for path, _, operation in OPERATIONS if not operation.get("security")}
    assert open_routes == {"/health"}
    assert set(DESCRIPTION["components"]["securitySchemes"]) == {"bearer", "key"}


@pytest.mark.parametrize(
    ("path", "verb", "operation"), OPERATIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_route_says_how_it_refuses(path, verb, operation):
    if path == "/health":
        return
    assert {"400", "401", "403", "429", "503"} <= set(operation["responses"])
    for status, answer in operation["responses"].items():
        if int(status) >= 400:
            assert set(answer["content"]) == {"application/problem+json"}, (path, status)


def test_every_reference_leads_somewhere():
    text = str(DESCRIPTION)
    named = set(re.findall(r"#/components/schemas/([A-Za-z0-9_]+)", text))
    assert named <= set(DESCRIPTION["components"]["schemas"])


@pytest.mark.parametrize("name", ["swagger", "graphiql"])
def test_scripts_of_the_pages_are_of_this_server(name):
    folder = pages.folder(name)
    assert folder is not None
    wanted = re.findall(rf"/static/{name}/([\w.-]+)", pages._GRAPHIQL) or ["swagger-ui-bundle.js", "swagger-ui.css"]
    assert [file for file in wanted if not (folder / file).is_file()] == []
    assert not re.search(r"https?://", pages._GRAPHIQL)
