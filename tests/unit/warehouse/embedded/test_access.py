"""Logins, and the files the engine takes its roles from."""

from __future__ import annotations

import base64
from pathlib import Path
from xml.etree import ElementTree

import pytest

from headwater.warehouse.embedded.access import Caps, User, Users, write_engine_files
from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.limits import Limits, judge_reader_settings

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


def test_a_role_of_the_policy_reads_its_own_database_and_nothing_else(tmp_path: Path) -> None:
    write_engine_files(tmp_path, ["gold"], ["role_analyst", "role_agent"])
    users = ElementTree.parse(tmp_path / "users.xml")
    for name in ("role_analyst", "role_agent"):
        assert [query.text for query in users.iterfind(f"roles/{name}/grants/query")] == [f"GRANT SELECT ON {name}.*"]
    assert User("ann", "", True, "role_analyst").role == "role_analyst"


def test_a_member_has_the_narrower_of_both_limits_and_may_set_less() -> None:
    member = User("ann", "", True, "role_analyst", "{}", Caps(rows=10, bytes=10**12, seconds=5))
    limits = Limits().of(member)
    assert limits.reader_caps()["max_result_rows"] == "10"
    assert limits.reader_caps()["max_result_bytes"] == str(Limits().reader_bytes)
    assert limits.reader_caps()["max_execution_time"] == "5"
    for name in ("use_query_cache", "enable_analyzer", "allow_experimental_analyzer", "query_cache_tag"):
        with pytest.raises(EndpointError):
            judge_reader_settings({name: "1"}, limits)
    assert judge_reader_settings({"enable_analyzer": "1"}, Limits())["enable_analyzer"] == "1"
