"""Fault 26: no token, an expired one, one for somebody else, one with another scope, another tenant's row.

Asked at the endpoint over HTTP, and at the gate that API and sidecar have in common. 401, 403 or empty, and nothing
tells what is there.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from tests.faults.serving.conftest import Guarded
from tests.integration.policy.conftest import PASSWORD, STORES

from headwater.identity.authenticating import NotAuthenticated
from headwater.identity.keys import IdentityKeys
from headwater.identity.store import IdentityStore
from headwater.policy.model import Surface
from headwater.serving.asking import Denied

pytestmark = [pytest.mark.integration, pytest.mark.fault]

ROWS = "SELECT count() FROM fct_sales"


def refused(guarded: Guarded, name: str, **login: str) -> str:
    """What the endpoint says to whom it does not let in; `name` is taken out of it."""
    answer = guarded.ask(ROWS, **login)
    assert answer.status_code in (403, 500), answer.text
    assert answer.headers["x-clickhouse-exception-code"] in ("516", "497")
    return answer.text.replace(name, "…")


def test_nobody_and_everybody_who_is_not_known_get_the_same_answer(guarded):
    provider, now = guarded.provider, int(time.time())
    other = type(provider)()
    tokens = {
        "expired": provider.token(exp=now - 3600),
        "not yet": provider.token(nbf=now + 3600),
        "for somebody else": provider.token(aud="another"),
        "of somebody else": provider.token(iss="http://127.0.0.1:1"),
        "signed by somebody else": other.token(iss=provider.issuer),
        "without an end": provider.token(exp=None),
        "of the writer's name": provider.token("headwater"),
        "cut": provider.token()[:-4],
    }
    said = {refused(guarded, "token.analyst", user="token.analyst", password=token) for token in tokens.values()}
    said |= {refused(guarded, "some.analyst", user="some.analyst", password="a wrong password")}
    said |= {refused(guarded, "no.such.one", user="no.such.one", password="a wrong password")}
    said |= {refused(guarded, "some.analyst", user="some.analyst", password="hw_" + "0" * 12 + "_" + "a" * 43)}
    assert len(said) == 1, said
    by_bearer = {guarded.ask(ROWS, bearer=token).text for token in tokens.values()}
    assert len(by_bearer) == 1, by_bearer
    assert guarded.ask(ROWS).status_code == 403

    gate = guarded.gate()
    try:
        told = set()
        for authorization in (
            None,
            "",
            "Bearer ",
            "Basic e30=",
            "Negotiate x",
            *(f"Bearer {t}" for t in tokens.values()),
        ):
            with pytest.raises(NotAuthenticated) as caught:
                gate.authenticated(authorization, source="192.0.2.1")
            told.add(str(caught.value))
        assert len(told) == 1
    finally:
        gate.close()
    assert guarded.recorded(who="unauthenticated", surface="api")[0]["source"] == "192.0.2.1"


def test_a_good_token_is_let_in_and_a_rotated_key_too(guarded):
    provider = guarded.provider
    known = guarded.ask(ROWS, user="token.analyst", password=provider.token())
    assert known.status_code == 200, known.text
    assert guarded.ask(ROWS, bearer=provider.token()).text == known.text
    assert guarded.ask(ROWS, user="somebody.else", password=provider.token()).status_code == 403


def test_a_scope_that_does_not_reach_is_403(guarded):
    token = guarded.provider.token(scope="mcp:query")
    assert "ACCESS_DENIED" in refused(guarded, "token.analyst", bearer=token)
    gate = guarded.gate(Surface.MCP)
    try:
        known = gate.authenticated(f"Bearer {token}")
        with gate.ask(known, "query") as asking:
            assert asking.client.command("SELECT 1") == 1
        with pytest.raises(Denied, match="scope"):
            gate.ask(known, "sample")
        with pytest.raises(Denied, match="scope"):
            gate.ask(gate.authenticated(f"Bearer {guarded.provider.token(scope=None)}"), "query")
        with pytest.raises(Denied, match="no role"):
            gate.ask(gate.authenticated(f"Bearer {guarded.provider.token(groups=['others'])}"), "query")
    finally:
        gate.close()
    entry = guarded.recorded(who="token.analyst", outcome="denied", tool="sample")[0]
    assert (entry["reason"], entry["surface"]) == ("scope", "mcp")


def test_another_tenants_rows_are_not_there(guarded):
    """Store managers see their own stores, at the endpoint and through the gate, whatever brought them."""
    provider = guarded.provider
    token = provider.token("token.manager", groups=["store_managers"], attributes={"stores": STORES})
    theirs = "SELECT DISTINCT store_id FROM fct_sales ORDER BY store_id FORMAT TSV"
    expected = "".join(f"{store}\n" for store in STORES)
    assert guarded.ask(theirs, user="some.store_manager", password=PASSWORD).text == expected
    assert guarded.ask(theirs, bearer=token).text == expected
    other = "SELECT count() FROM fct_sales WHERE store_id = 2"
    assert guarded.ask(other, bearer=token).text == "0\n"
    nowhere = provider.token("token.manager", groups=["store_managers"], attributes=None)
    assert guarded.ask(theirs, bearer=nowhere).text == ""
    wrong = provider.token("token.manager", groups=["store_managers"], attributes={"stores": ["1"]})
    assert "ACCESS_DENIED" in refused(guarded, "token.manager", bearer=wrong)
    gate = guarded.gate()
    try:
        for authorization in (f"Bearer {token}", httpx_basic("some.store_manager", PASSWORD)):
            with gate.ask(gate.authenticated(authorization), "query", source="192.0.2.7") as asking:
                rows = asking.client.query("SELECT DISTINCT store_id FROM fct_sales ORDER BY store_id").result_rows
                asking.answered(datasets=["gold.fct_sales"], rows=len(rows), sql=theirs)
            assert [row[0] for row in rows] == STORES
    finally:
        gate.close()
    entry = guarded.recorded(who="token.manager", surface="api")[0]
    assert (entry["datasets"], entry["rows"]) == (["fct_sales"], len(STORES))
    assert entry["rows_filter"] == "fct_sales: store_id IN user.stores"
    assert entry["source"] == "192.0.2.7"


def test_what_is_not_there_and_what_is_not_theirs_are_told_alike(guarded):
    token = guarded.provider.token("token.manager", groups=["store_managers"], attributes={"stores": STORES})
    said = {guarded.ask(f"SELECT * FROM {table}", bearer=token).text for table in ("dim_household", "no_such_table")}
    assert len(said) == 1, said


def test_keys_that_ended_or_were_revoked_are_refused(guarded):
    store = IdentityStore(guarded.settings)
    keys = IdentityKeys(guarded.settings, store)
    gate = guarded.gate()
    try:
        store.add("key.owner", "service", ["analysts"], {}, None)
        text, key = keys.create("key.owner", "test", ["api:*"], 1)
        known = gate.authenticated(None, text)
        assert (known.identity.name, known.how, known.scopes) == ("key.owner", "key", ("api:*",))
        keys.revoke(key.key_id)
        other = guarded.gate()
        with pytest.raises(NotAuthenticated):
            other.authenticated(f"Bearer {text}")
        other.close()
        fresh, _ = keys.create("key.owner", "test", ["api:*"], 1)
        assert gate.authenticated(f"Bearer {fresh}").identity.name == "key.owner"
        store.add("gone.soon", "person", ["analysts"], {}, PASSWORD, datetime.now(UTC) - timedelta(seconds=1))
        with pytest.raises(NotAuthenticated):
            gate.authenticated(httpx_basic("gone.soon", PASSWORD))
        with pytest.raises(NotAuthenticated):
            gate.authenticated(f"Bearer {fresh}", fresh)  # one credential, not two
        store.add("token.disabled", "person", ["analysts"], {}, PASSWORD)
        store.disable("token.disabled")
        with pytest.raises(NotAuthenticated):
            gate.authenticated(f"Bearer {guarded.provider.token('token.disabled')}")
    finally:
        gate.close()
        keys.close()
        store.close()


def httpx_basic(name: str, password: str) -> str:
    import base64

    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
