"""Tokens (JWT) of an OpenID provider: verified, and what their claims say of who comes.

A token is believed where it is signed by a key of the provider with an algorithm of the list, comes from the issuer,
is for this platform (`aud`), has begun and has not ended. Everything else is `NotAuthenticated`, without saying more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from headwater.errors import ConfigurationError
from headwater.identity.jwks import ALGORITHMS, KeySet, fetcher
from headwater.identity.keys import SCOPE
from headwater.settings import Settings

FORM = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
LONGEST = 16 * 1024
MOST_VALUES = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@|+-]{0,127}")
_ALLOWED = sorted({name for names in ALGORITHMS.values() for name in names})
_REQUIRED = ["exp", "iss", "aud"]


class NoToken(Exception):
    """It is not a token that is believed; the text is for the log and for nobody else."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a token says. `groups` and `attributes` are None where the settings do not take them from tokens."""

    name: str
    groups: tuple[str, ...] | None
    attributes: Mapping[str, Sequence[str | int]] | None
    scopes: tuple[str, ...]
    expires: float


class Tokens:
    """Verifies tokens as the settings say. Raises `ConfigurationError` for settings that are unsafe."""

    def __init__(self, settings: Settings, keys: KeySet | None = None) -> None:
        self._settings = settings
        self._keys = keys
        if keys is None and settings.oidc_issuer:
            if not settings.oidc_audience:
                raise ConfigurationError(
                    "tokens for anybody would be taken", where="HEADWATER_OIDC_AUDIENCE", remedy="name the audience"
                )
            self._keys = KeySet(
                fetcher(settings.oidc_issuer, settings.oidc_jwks_url),
                held_seconds=settings.oidc_keys_held_seconds,
                stale_seconds=settings.oidc_keys_stale_seconds,
            )

    def verify(self, text: str) -> Claimed:
        """What the token says. Raises `NoToken`, and `KeysUnavailable` where nobody can tell."""
        if self._keys is None:
            raise NoToken("no issuer is set")
        if len(text) > LONGEST or not FORM.fullmatch(text):
            raise NoToken("it has not the form of one")
        settings = self._settings
        try:
            header = jwt.get_unverified_header(text)
            kid, algorithm = header.get("kid"), header.get("alg")
            if "crit" in header or not isinstance(kid, str) or algorithm not in _ALLOWED:
                raise NoToken("its header names no key, or no algorithm of the list")
            key = self._keys.key(kid, algorithm)
            if key is None:
                raise NoToken("the issuer has no such key")
            claims = jwt.decode(
                text,
                key,
                algorithms=[key.algorithm_name],
                audience=settings.oidc_audience,
                issuer=settings.oidc_issuer,
                leeway=settings.oidc_leeway_seconds,
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
        except jwt.PyJWTError as error:
            raise NoToken(type(error).__name__) from error
        return self._claimed(claims)

    def _claimed(self, claims: Mapping[str, Any]) -> Claimed:
        settings = self._settings
        name = claim(claims, settings.oidc_name_claim)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise NoToken(f"its claim {settings.oidc_name_claim} is no name")
        groups = _texts(claim(claims, settings.oidc_groups_claim)) if settings.oidc_groups_claim else None
        given = claim(claims, settings.oidc_attributes_claim) if settings.oidc_attributes_claim else None
        attributes = _attributes(given) if settings.oidc_attributes_claim else None
        scopes = [one for one in _scopes(claims) if SCOPE.fullmatch(one)]
        scopes = scopes or settings.oidc_default_scopes.split()
        return Claimed(name, groups, attributes, tuple(scopes), float(claims["exp"]))


def claim(claims: Mapping[str, Any], path: str) -> object:
    """The claim of this name, or the nested one that the dots lead to; None where there is none."""
    if path in claims:
        return claims[path]
    found: object = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """`scope` is one text with blanks (RFC 8693); `scp` of some providers is that, or a list."""
    return [one for name in ("scope", "scp") for part in _texts(claims.get(name)) for one in part.split()]


def _texts(given: object) -> tuple[str, ...]:
    values = given if isinstance(given, list) else [given]
    return tuple(value for value in values[:MOST_VALUES] if isinstance(value, str))


def _attributes(given: object) -> dict[str, Sequence[str | int]]:
    """Lists of whole numbers or texts by name; anything else is left out, and then no row is seen by it."""
    if not isinstance(given, Mapping):
        return {}
    found: dict[str, Sequence[str | int]] = {}
    for name, values in given.items():
        listed = values if isinstance(values, list) else [values]
        if isinstance(name, str) and all(type(value) in (int, str) for value in listed[:MOST_VALUES]):
            found[name] = tuple(listed[:MOST_VALUES])
    return found
