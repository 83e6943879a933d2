"""Logins, and the files the engine takes its roles from."""

from __future__ import annotations

import base64
from pathlib import Path
from xml.etree import ElementTree

import pytest

from headwater.warehouse.embedded.access import User, Users, write_engine_files
from headwater.warehouse.embedded.errors import EndpointError

USERS = Users([User("w", "pass:word", readonly=False), User("r", "", readonly=True)])


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_three_ways_to_log_in() -> None:
    assert USERS.authenticate(basic("w:pass:word"), {}).name == "w"
    assert USERS.authenticate({"x-clickhouse-user": "w", "x-clickhouse-key": "pass:word"}, {}).name == "w"
    assert USERS.authenticate({}, {"user": "w", "password": "pass:word"}).name == "w"
    assert USERS.authenticate({}, {"user": "r"}).readonly


@pytest.mark.parametrize(
    ("headers", "params"),
    [
        ({}, {}),
        ({}, {"user": "w"}),
        ({}, {"user": "W", "password": "pass:word"}),
        (basic("w:"), {}),
        ({"authorization": "Basic %%%"}, {}),
    ],
)
def test_anything_else_is_refused(headers: dict[str, str], params: dict[str, str]) -> None:
    with pytest.raises(EndpointError) as caught:
        USERS.authenticate(headers, params)
    assert (caught.value.code, caught.value.status) == (516, 403)


def test_engine_files_are_written_again_and_keep_the_database_id(tmp_path: Path) -> None:
    config = write_engine_files(tmp_path, ["gold"])
    first = (tmp_path / "metadata" / "default.sql").read_text()
    write_engine_files(tmp_path, ["gold", "live"])
    assert (tmp_path / "metadata" / "default.sql").read_text() == first
    assert ElementTree.parse(config).findtext("default_database") == "_local"
    grants = [query.text for query in ElementTree.parse(tmp_path / "users.xml").iter("query")]
    assert "GRANT SELECT, dictGet ON live.*" in grants
