"""The public keys of an OpenID provider, by their ids (JWKS, RFC 7517).

They are fetched at the first use, held for a while, and fetched anew for an id that is not among them, so that the
provider may rotate; but not more often than every ten seconds, whatever ids tokens come with. Where the provider does
not answer, the keys that are known hold for an hour, and then nobody comes in with a token.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from headwater.errors import ConfigurationError, RetryableError

log = logging.getLogger(__name__)

FETCH_SECONDS = 3.0
FETCHES_APART_SECONDS = 10.0
LARGEST = 256 * 1024
MOST_KEYS = 100
SMALLEST_RSA = 2048
ALGORITHMS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("RSA", ""): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""What a key may verify, by its kind and curve. Nothing symmetric: whoever knows a public key could sign with it."""


class KeysUnavailable(RetryableError):
    """The provider's keys cannot be had, and those that were known are too old."""


class KeySet:
    """The keys behind one address. Thread-safe; `fetch` gives the document."""

    def __init__(
        self, fetch: Callable[[], Mapping[str, Any]], *, held_seconds: float = 300, stale_seconds: float = 3600
    ) -> None:
        self._fetch = fetch
        self._held = held_seconds
        self._stale = max(stale_seconds, held_seconds)
        self._lock = threading.Lock()
        self._keys: dict[str, Mapping[str, Any]] = {}
        self._fetched_at = self._tried_at = float("-inf")

    def key(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        """The key with this id for this algorithm; None where there is none. Raises `KeysUnavailable`."""
        keys = self._current(kid)
        found = keys.get(kid)
        if found is None or algorithm not in verifies(found):
            return None
        try:
            key = jwt.PyJWK.from_dict(dict(found), algorithm)
        except jwt.PyJWTError:
            return None
        return None if getattr(key.key, "key_size", SMALLEST_RSA) < SMALLEST_RSA and found["kty"] == "RSA" else key

    def _current(self, kid: str) -> Mapping[str, Mapping[str, Any]]:
        age = time.monotonic() - self._fetched_at
        if kid not in self._keys or age > self._held:
            with self._lock:
                self._refresh(kid)
        if time.monotonic() - self._fetched_at > self._stale:
            raise KeysUnavailable("the keys of the OpenID provider cannot be had", remedy="see whether it answers")
        return self._keys

    def _refresh(self, kid: str) -> None:
        now = time.monotonic()
        fresh = kid in self._keys and now - self._fetched_at <= self._held
        if fresh or now - self._tried_at < FETCHES_APART_SECONDS:
            return
        self._tried_at = now
        try:
            self._keys = _usable(self._fetch())
        except (httpx.HTTPError, ValueError) as error:
            log.warning("the keys of the OpenID provider could not be fetched: %s", type(error).__name__)
            return
        self._fetched_at = time.monotonic()


def verifies(key: Mapping[str, Any]) -> tuple[str, ...]:
    """The algorithms that this key may verify; one where it names it."""
    kind = str(key.get("kty"))
    allowed = ALGORITHMS.get((kind, "" if kind == "RSA" else str(key.get("crv"))), ())
    return tuple(name for name in allowed if key.get("alg") in (None, name))


def fetcher(issuer: str, jwks_url: str) -> Callable[[], Mapping[str, Any]]:
    """What fetches the keys: from `jwks_url`, or from where the issuer's discovery document says.

    Raises `ConfigurationError` for an address without TLS that is not this host's.
    """
    _refuse_plain(jwks_url or issuer)

    def fetch() -> Mapping[str, Any]:
        url = jwks_url
        if not url:
            found = _get(issuer.rstrip("/") + "/.well-known/openid-configuration")
            url = str(found.get("jwks_uri", ""))
            if found.get("issuer") != issuer or not url.startswith(("https://", "http://")):
                raise ValueError("the discovery document is another issuer's, or names no keys")
            _refuse_plain(url)
        return _get(url)

    return fetch


def _usable(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    keys = document.get("keys")
    if not isinstance(keys, list):
        raise ValueError("there is no list of keys")
    return {
        key["kid"]: key
        for key in keys[:MOST_KEYS]
        if isinstance(key, dict)
        and isinstance(key.get("kid"), str)
        and key.get("use", "sig") == "sig"
        and "verify" in key.get("key_ops", ["verify"])
        and verifies(key)
    }


def _get(url: str) -> Mapping[str, Any]:
    """The JSON object at this address. Raises httpx's errors, and `ValueError` for anything else."""
    body = bytearray()
    with httpx.stream("GET", url, timeout=FETCH_SECONDS, follow_redirects=False) as response:
        response.raise_for_status()
        for part in response.iter_bytes():
            body += part
            if len(body) > LARGEST:
                raise ValueError("the document is too long")
    found = httpx.Response(200, content=bytes(body)).json()
    if not isinstance(found, dict):
        raise ValueError("the document is no object")
    return found


def _refuse_plain(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")):
        raise ConfigurationError(
            "keys are fetched over https",
            where="HEADWATER_OIDC_JWKS_URL",
            remedy="https://…, or an address of this host",
        )
