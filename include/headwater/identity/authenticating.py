"""Who comes: by API key, by an OpenID provider's token, or by name and password. One place for every surface.

A request brings one of `Authorization: Bearer <key or token>`, `Authorization: Basic <name:password, key or token>` or
`X-API-Key: <key>`. Whoever is not known gets one answer, whatever was wrong. What was found out is believed for a
second, so that a hundred requests do not ask Postgres a hundred times; what is revoked is refused after that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from headwater.errors import RetryableError, TerminalError
from headwater.identity import key_form, tokens
from headwater.identity.jwks import KeysUnavailable
from headwater.identity.keys import IdentityKeys
from headwater.identity.store import Identity, IdentityStore, UnknownIdentity
from headwater.identity.tokens import NoToken, Tokens
from headwater.settings import Settings

log = logging.getLogger(__name__)

HOLDS_SECONDS = 1.0
REMEMBERED = 2000
HASHED_AT_ONCE = 2
MOST_LOGINS = 8
LOGIN_WAIT_SECONDS = 2.0
"""argon2 costs 50 ms on purpose: two at a time, and six who wait, for so long at most. Whoever comes then is sent away
at once: a waiting login holds a thread of the surface, of which a server has forty, and others need them.
"""
How = Literal["key", "token", "password", "service"]


class NotAuthenticated(TerminalError):
    """Nobody is known by what came: 401. The text tells nothing of who there is, or of what was wrong."""

    def __init__(self) -> None:
        super().__init__("not authenticated", remedy="send a valid API key or token: `Authorization: Bearer …`")


class TooManyLogins(RetryableError):
    """Too many come with passwords at the same time: 429."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Somebody, with what it comes with: scopes of the key or token (`*` by password), and when that ends (0: never).

    `how` is "service" for a user of the settings.
    """

    identity: Identity
    scopes: tuple[str, ...]
    how: How
    expires: float = 0


class Authenticator:
    """Thread-safe; one per process. Methods raise `DatabaseUnavailable` while Postgres does not answer: 503."""

    def __init__(
        self, settings: Settings, identities: IdentityStore | None = None, verifier: Tokens | None = None
    ) -> None:
        self._settings = settings
        self._identities = identities or IdentityStore(settings)
        self._keys = IdentityKeys(settings, self._identities)
        self._tokens = verifier or Tokens(settings)
        self._salt = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._logins = threading.BoundedSemaphore(MOST_LOGINS)
        self._hashing = threading.BoundedSemaphore(HASHED_AT_ONCE)
        self._known: dict[bytes, tuple[float, Authenticated]] = {}

    def authenticate(self, authorization: str | None, api_key: str | None = None) -> Authenticated:
        """Whose request it is. Raises `NotAuthenticated`, for none and for two credentials too."""
        if (authorization is None) == (api_key is None):
            raise NotAuthenticated
        if api_key is not None:
            if not key_form.FORM.fullmatch(api_key):
                raise _refused("no key")
            return self.by_secret(None, api_key)
        kind, _, given = (authorization or "").partition(" ")
        if kind.lower() == "bearer":
            return self.by_secret(None, given.strip())
        if kind.lower() == "basic":
            return self.by_secret(*_basic(given.strip()))
        raise _refused("another kind of credential")

    def by_secret(self, name: str | None, secret: str) -> Authenticated:
        """Whose key, token or password it is; where a `name` came with it, it has to be that one's."""
        mark = hashlib.sha256(self._salt + f"{name}\n{secret}".encode()).digest()
        held = self._known.get(mark)
        if held is not None and held[0] > time.monotonic():
            return held[1]
        found = self._found(name, secret)
        if name is not None and found.identity.name != name:
            raise _refused("somebody else's")
        with self._lock:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[mark] = (time.monotonic() + HOLDS_SECONDS, found)
        return found

    def close(self) -> None:
        """Close the connections."""
        self._keys.close()
        self._identities.close()

    def _found(self, name: str | None, secret: str) -> Authenticated:
        if key_form.FORM.fullmatch(secret):
            return self._by_key(secret)
        if tokens.FORM.fullmatch(secret) and self._settings.oidc_issuer:
            return self._by_token(secret)
        if name is None:
            raise _refused("neither key nor token")
        if self._identities.proven(name, secret):
            identity = self._identities.verify(name, secret)  # argon2 is not asked, so nobody has to wait
        else:
            identity = self._by_password(name, secret)
        if identity is None:
            raise _refused("password")
        return Authenticated(identity, ("*",), "password", identity.expires)

    def _by_password(self, name: str, secret: str) -> Identity | None:
        with _place(self._logins, 0), _place(self._hashing, LOGIN_WAIT_SECONDS):
            return self._identities.verify(name, secret)

    def _by_key(self, text: str) -> Authenticated:
        found = self._keys.verify(text)
        if found is None:
            raise _refused("no such key")
        identity, key = found
        ends = [end for end in (identity.expires, key.expires_at.timestamp()) if end]
        return Authenticated(identity, key.scopes, "key", min(ends))

    def _by_token(self, text: str) -> Authenticated:
        """An identity of the token's name may be disabled here, and gives what the settings do not take from tokens."""
        try:
            claimed = self._tokens.verify(text)
        except (NoToken, KeysUnavailable) as error:
            raise _refused(f"token: {error}") from error
        settings = self._settings
        services = (settings.clickhouse_user, settings.clickhouse_reader_user, settings.clickhouse_agent_user)
        if claimed.name in services:
            raise _refused("the name of a user of the settings")
        here = _or_none(lambda: self._identities.get(claimed.name))
        if here is not None and not here.usable:
            raise _refused("disabled here")
        before = here or Identity(claimed.name, "person", (), {}, has_password=False)
        groups = before.groups if claimed.groups is None else claimed.groups
        attributes = before.attributes if claimed.attributes is None else claimed.attributes
        ends = [end for end in (before.expires, claimed.expires) if end]
        return Authenticated(replace(before, groups=groups, attributes=attributes), claimed.scopes, "token", min(ends))


@contextmanager
def _place(places: threading.Semaphore, seconds: float) -> Iterator[None]:
    """One of these, within so many seconds. Raises `TooManyLogins`."""
    if not places.acquire(timeout=seconds):
        raise TooManyLogins("too many logins by password at a time", remedy="try again, or come with an API key")
    try:
        yield
    finally:
        places.release()


def _or_none(get: Callable[[], Identity]) -> Identity | None:
    try:
        return get()
    except UnknownIdentity:
        return None


def _basic(given: str) -> tuple[str, str]:
    try:
        name, colon, secret = base64.b64decode(given, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise NotAuthenticated from None
    if not name or not colon:
        raise NotAuthenticated
    return name, secret


def _refused(why: str) -> NotAuthenticated:
    """The one answer; why is for the log."""
    log.info("not authenticated: %s", why)
    return NotAuthenticated()
