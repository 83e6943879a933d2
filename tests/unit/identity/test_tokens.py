"""Tokens, signed with real keys: which are believed, and what their claims become."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from headwater.errors import ConfigurationError
from headwater.identity import jwks
from headwater.identity.jwks import KeySet, KeysUnavailable, fetcher
from headwater.identity.tokens import NoToken, Tokens
from headwater.settings import Settings

ISSUER = "https://id.example.com/"


@cache
def rsa_key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def public(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    algorithms = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256", ed25519.Ed25519PrivateKey: "EdDSA"}
    name = next(alg for kind, alg in algorithms.items() if isinstance(key, kind))
    told = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
    return {name: value for name, value in told.items() if name != "key_ops"} | {"kid": kid, **more}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    given = {"iss": ISSUER, "aud": "headwater", "sub": "ann", "exp": now + 60, "iat": now, "groups": ["analysts"]}
    return {name: value for name, value in (given | changes).items() if value is not None}


def signed(
    key: Any, kid: str | None = "one", algorithm: str = "RS256", crit: list[str] | None = None, **changes: Any
) -> str:
    headers = {name: value for name, value in {"kid": kid, "crit": crit}.items() if value}
    return jwt.encode(claims(**changes), key, algorithm, headers)


def tokens(*keys: Mapping[str, Any], **settings: Any) -> Tokens:
    document = {"keys": list(keys or [public(rsa_key(), "one")])}
    return Tokens(Settings(oidc_issuer=ISSUER, **settings), KeySet(lambda: document))


def test_a_token_of_the_issuer_is_believed():
    found = tokens().verify(signed(rsa_key(), scope="openid mcp:query api:*", groups=["analysts", "staff"]))
    assert (found.name, found.groups, found.scopes) == ("ann", ("analysts", "staff"), ("mcp:query", "api:*"))
    assert found.attributes is None
    assert found.expires > time.time()


@pytest.mark.parametrize("algorithm", ["RS512", "PS256"])
def test_a_key_without_an_algorithm_takes_those_of_its_kind(algorithm):
    assert tokens().verify(signed(rsa_key(), algorithm=algorithm)).name == "ann"


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(ec.generate_private_key(ec.SECP256R1()), "ES256"), (ed25519.Ed25519PrivateKey.generate(), "EdDSA")],
)
def test_other_kinds_of_keys(key, algorithm):
    assert tokens(public(key, "one")).verify(signed(key, algorithm=algorithm)).name == "ann"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 3600},
        {"exp": None},
        {"nbf": int(time.time()) + 3600},
        {"iat": int(time.time()) + 3600},
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://id.example.org/"},
        {"iss": None},
        {"sub": None},
        {"sub": "ann; DROP"},
        {"kid": "unknown"},
        {"kid": None},
        {"key": rsa_key(2048, 1)},
        {"crit": ["exp"]},
    ],
    ids=[
        "expired",
        "without an end",
        "not yet",
        "of tomorrow",
        "for another",
        "for nobody",
        "of another",
        "of nobody",
        "without a name",
        "of no name",
        "of an unknown key",
        "of no key",
        "signed by another",
        "with a critical header",
    ],
)
def test_every_other_token_is_refused(changes):
    arguments = {"key": rsa_key(), **changes}
    with pytest.raises(NoToken):
        tokens().verify(signed(**arguments))


def test_an_unsigned_token_is_refused():
    with pytest.raises(NoToken):
        tokens().verify(jwt.encode(claims(), None, "none", {"kid": "one"}))


def test_a_token_signed_with_the_public_key_as_a_secret_is_refused():
    pem = (
        rsa_key().public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "one"}, claims())]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(pem, text, hashlib.sha256)).rstrip(b"=")
    with pytest.raises(NoToken):
        tokens().verify((text + b"." + signature).decode())


def test_a_symmetric_key_among_the_keys_is_not_used():
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode().rstrip("="), "kid": "one", "alg": "HS256"}
    with pytest.raises(NoToken):
        tokens(secret).verify(signed(b"s" * 32, algorithm="HS256"))


def test_a_key_that_names_another_algorithm_is_not_used():
    with pytest.raises(NoToken):
        tokens(public(rsa_key(), "one", alg="RS512")).verify(signed(rsa_key()))


def test_a_key_for_encryption_is_not_used():
    with pytest.raises(NoToken):
        tokens(public(rsa_key(), "one", use="enc")).verify(signed(rsa_key()))


@pytest.mark.filterwarnings("ignore")
def test_a_short_key_is_not_used():
    with pytest.raises(NoToken):
        tokens(public(rsa_key(1024), "one")).verify(signed(rsa_key(1024)))


def test_without_an_issuer_no_token_is_believed():
    with pytest.raises(NoToken, match="no issuer"):
        Tokens(Settings()).verify(signed(rsa_key()))


def test_tokens_for_anybody_are_not_to_be_had():
    with pytest.raises(ConfigurationError, match="anybody"):
        Tokens(Settings(oidc_issuer=ISSUER, oidc_audience=""))


@pytest.mark.parametrize("given", ["mcp:query openid", ["mcp:query", "openid"]])
def test_scopes_come_from_scp_too(given):
    assert tokens().verify(signed(rsa_key(), scp=given)).scopes == ("mcp:query",)


def test_a_token_without_scopes_has_those_of_the_settings():
    assert tokens().verify(signed(rsa_key())).scopes == ()
    assert tokens(oidc_default_scopes="api:* mcp:query").verify(signed(rsa_key())).scopes == ("api:*", "mcp:query")


def test_nested_claims_and_attributes():
    settings = {
        "oidc_groups_claim": "realm_access.roles",
        "oidc_attributes_claim": "https://example.com/attributes",
        "oidc_name_claim": "preferred_username",
    }
    given = {
        "realm_access": {"roles": ["store_managers", 7]},
        "https://example.com/attributes": {"stores": [1, 2], "region": "north", "odd": [{"a": 1}], "yes": [True]},
        "preferred_username": "ann@example.com",
    }
    found = tokens(**settings).verify(signed(rsa_key(), **given))
    assert (found.name, found.groups) == ("ann@example.com", ("store_managers",))
    assert found.attributes == {"stores": (1, 2), "region": ("north",)}


class Provider:
    """A provider's keys, and how often they were fetched."""

    def __init__(self, *keys: Mapping[str, Any]) -> None:
        self.keys = list(keys)
        self.fetched = 0
        self.answers = True

    def __call__(self) -> Mapping[str, Any]:
        self.fetched += 1
        if not self.answers:
            raise httpx.ConnectError("refused")
        return {"keys": self.keys}


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(jwks.time, "monotonic", lambda: now[0])
    return now


def test_a_rotated_key_is_fetched_and_the_old_one_no_longer_holds(clock):
    provider = Provider(public(rsa_key(), "one"))
    keys = KeySet(provider)
    assert keys.key("one", "RS256") is not None
    provider.keys = [public(rsa_key(2048, 1), "two")]
    assert keys.key("one", "RS256") is not None
    clock[0] += 11
    assert keys.key("two", "RS256") is not None
    assert keys.key("one", "RS256") is None


def test_unknown_ids_do_not_make_it_fetch_all_the_time(clock):
    provider = Provider(public(rsa_key(), "one"))
    keys = KeySet(provider)
    for number in range(1000):
        assert keys.key(f"unknown{number}", "RS256") is None
    assert provider.fetched == 1
    clock[0] += 11
    assert keys.key("unknown", "RS256") is None
    assert provider.fetched == 2


def test_while_the_provider_is_gone_known_keys_hold_for_a_while(clock):
    provider = Provider(public(rsa_key(), "one"))
    keys = KeySet(provider, held_seconds=300, stale_seconds=3600)
    assert keys.key("one", "RS256") is not None
    provider.answers = False
    clock[0] += 1800
    assert keys.key("one", "RS256") is not None
    clock[0] += 3600
    with pytest.raises(KeysUnavailable):
        keys.key("one", "RS256")
    provider.answers = True
    clock[0] += 11
    assert keys.key("one", "RS256") is not None


def test_a_provider_that_never_answered_lets_nobody_in(clock):
    provider = Provider()
    provider.answers = False
    with pytest.raises(KeysUnavailable):
        KeySet(provider).key("one", "RS256")


@pytest.mark.parametrize("url", ["http://id.example.com/keys", "ftp://127.0.0.1/keys", "file:///etc/passwd"])
def test_keys_are_fetched_over_tls(url):
    with pytest.raises(ConfigurationError, match="https"):
        fetcher(ISSUER, url)
