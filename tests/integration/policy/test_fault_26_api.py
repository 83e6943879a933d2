"""Fault 26 on the API: no key, one that has ended, another scope, another's row: 401, 403 or nothing, and no hint."""

from __future__ import annotations

import base64
import json

import psycopg
import pytest
from tests.integration.policy.conftest import PASSWORD

pytestmark = pytest.mark.integration

PATHS = [
    "/v1/datasets",
    "/v1/datasets/fct_sales",
    "/v1/datasets/fct_sales/rows",
    "/v1/datasets/fct_sales/lineage",
    "/v1/datasets/fct_sales/quality",
    "/v1/lineage",
    "/v1/metrics",
    "/v1/metrics/revenue/values",
    "/v1/runs",
    "/v1/ledger",
    "/v1/quarantine/transactions",
    "/v1/quarantine/transactions/0/0",
]
TOKEN = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({"alg": "none"}, {"sub": "some.analyst", "aud": "somebody else", "exp": 4_000_000_000})
)


def refused(answer) -> tuple[int, bytes]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.content


@pytest.mark.parametrize("path", PATHS)
def test_who_does_not_say_who_it_is_gets_one_answer(api, path):
    given = [
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Bearer hw_{'0' * 12}_{'a' * 43}"},
        {"Authorization": f"Bearer {TOKEN}."},
        {"X-API-Key": "hw_short"},
        {"Authorization": f"Bearer {api.key('analyst')}", "X-API-Key": api.key("analyst")},
    ]
    answers = {refused(api.client.get(path, headers=headers)) for headers in given}
    assert len(answers) == 1
    assert answers.pop()[0] == 401


def test_graphql_and_queries_ask_who_it_is_as_well(api):
    for path, body in (("/graphql", {"query": "{ __typename }"}), ("/v1/queries", {"sql": "SELECT 1"})):
        answer = api.client.post(path, json=body)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("change", ["expires_at = now() - interval '1 s'", "revoked_at = now()"])
def test_a_key_that_has_ended_is_no_key(api, served, change):
    text, key = api.keys.create("some.analyst", "ends", ["api:*"], 1)
    dsn = served.settings.postgres_dsn(served.settings.postgres_platform_database)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"UPDATE api_keys SET {change} WHERE key_id = %s", (key.key_id,))
    answer = api.client.get("/v1/datasets", headers={"Authorization": f"Bearer {text}"})
    assert answer.status_code == 401


def test_a_key_is_good_for_its_scopes_alone(api):
    for scope, status in (("clickhouse:*", 403), ("mcp:*", 403), ("api:rows", 403), ("api:datasets", 200), ("*", 200)):
        headers = {"Authorization": f"Bearer {api.key('analyst', scope)}"}
        assert api.client.get("/v1/datasets", headers=headers).status_code == status, scope
    headers = {"Authorization": f"Bearer {api.key('analyst', 'api:rows')}"}
    assert api.client.get("/v1/datasets/fct_sales/rows", headers=headers).status_code == 200
    assert api.client.post("/v1/queries", json={"sql": "SELECT 1"}, headers=headers).status_code == 403
    question = {"query": "{ datasets { next } }"}
    assert api.client.post("/graphql", json=question, headers=headers).status_code == 403
    headers = {"Authorization": f"Bearer {api.key('analyst', 'api:graphql')}"}
    field = api.client.post("/graphql", json=question, headers=headers).json()
    assert (field["data"], field["errors"][0]["extensions"]["status"]) == (None, 403)


def test_a_purpose_that_is_not_the_roles_is_denied(api):
    assert api.get("analyst", "/v1/datasets", {"Headwater-Purpose": "marketing"}).status_code == 403
    assert api.get("analyst", "/v1/datasets", {"Headwater-Purpose": "reporting"}).status_code == 200


def test_what_is_not_there_and_what_is_not_yours_look_the_same(api):
    def both(path: str) -> tuple[tuple[int, bytes], ...]:
        return tuple(refused(api.get("store_manager", path.format(name))) for name in ("no_such", "mart_marketing_rfm"))

    for path in ("/v1/datasets/{}", "/v1/datasets/{}/rows", "/v1/datasets/{}/lineage", "/v1/datasets/{}/quality"):
        there, hidden = both(path)
        assert there == hidden
        assert there[0] == 404
    metric = [refused(api.get("store_manager", f"/v1/metrics/{n}")) for n in ("no_such", "households_in_segment")]
    assert metric[0] == metric[1]
    graph = [
        api.post("store_manager", "/graphql", {"query": f'{{ dataset(name: "{n}") {{ name }} }}'}).json()
        for n in ("no_such", "mart_marketing_rfm")
    ]
    assert graph[0] == graph[1] == {"data": {"dataset": None}}
    listed = {one["name"] for one in api.get("store_manager", "/v1/datasets").json()["items"]}
    assert "fct_sales" in listed
    assert "mart_marketing_rfm" not in listed


def test_another_stores_rows_are_empty_whatever_is_asked(api):
    foreign = {"filter": "store_id:eq:2"}
    assert api.get("store_manager", "/v1/datasets/fct_sales/rows", **foreign).json()["rows"] == []
    assert api.get("analyst", "/v1/datasets/fct_sales/rows", **foreign).json()["rows"] != []
    sql = "SELECT count() FROM gold.fct_sales WHERE store_id NOT IN (1, 4)"
    assert api.query("store_manager", sql)["rows"] == [[0]]


def test_an_answer_in_the_cache_is_nobody_elses(api):
    sql = "SELECT uniqExact(household_id), uniqExact(store_id) FROM gold.fct_sales"
    first = api.query("analyst", sql)["rows"]
    assert api.query("store_manager", sql)["rows"] != first
    assert api.query("analyst", sql)["rows"] == first


def test_quarantine_is_known_by_place_and_its_bytes_are_not(api):
    """The analyst sees households as hashes: the bytes of a record would show the number."""
    listed = api.get("analyst", "/v1/quarantine/transactions")
    assert listed.status_code in (200, 503)
    hidden = api.get("analyst", "/v1/quarantine/transactions/0/0")
    assert (hidden.status_code, hidden.json()["type"]) == (404, "urn:headwater:problem:no-such-record")
    assert api.get("marketer", "/v1/quarantine/transactions").status_code == 404


def test_every_call_is_in_the_audit_without_what_was_asked(api, served):
    secret = "a name that is in no audit"
    api.get("store_manager", "/v1/datasets/dim_store/rows", filter=f"store_name:eq:{secret}")
    api.get("store_manager", "/v1/datasets/mart_marketing_rfm/rows")
    assert api.client.get("/v1/datasets").status_code == 401
    api.get("agent", "/v1/datasets")
    dsn = served.settings.postgres_dsn(served.settings.postgres_platform_database)
    with psycopg.connect(dsn) as connection:
        rows = [
            json.loads(text)
            for (text,) in connection.execute("SELECT entry FROM audit_entries ORDER BY sequence DESC LIMIT 50")
        ]
    mine = [row for row in rows if row["who"] == "some.store_manager"]
    assert mine[1]["outcome"] == "allowed"
    assert (mine[1]["tool"], mine[1]["datasets"], mine[1]["surface"]) == ("rows", ["dim_store"], "api")
    assert mine[1]["rows_filter"] == "dim_store: store_id IN user.stores"
    assert mine[0]["outcome"] == "failed"
    assert {row["outcome"] for row in rows if row["who"] == "some.agent"} == {"denied"}
    assert secret not in json.dumps(rows)
    assert PASSWORD not in json.dumps(rows)
