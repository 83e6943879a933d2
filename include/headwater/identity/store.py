"""Identities in the platform's Postgres: people and services with groups, attributes and a password's hash."""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headwater.database.pool import Database
from headwater.errors import TerminalError
from headwater.identity.passwords import hashed, matches
from headwater.settings import Settings

KINDS = ("person", "service")
NAME = re.compile(r"[a-z][a-z0-9_.@-]{0,62}")
REMEMBERED = 1000
_TABLES = """
CREATE TABLE IF NOT EXISTS identities (
    name text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('person', 'service')),
    groups text[] NOT NULL,
    attributes jsonb NOT NULL DEFAULT '{}',
    password_hash text,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    disabled_at timestamptz
);
COMMENT ON COLUMN identities.groups IS 'Groups of schemas/policies; they give the role';
COMMENT ON COLUMN identities.attributes IS 'Lists of values by attribute; they go before those of the groups';
"""
_COLUMNS = "name, kind, groups, attributes, password_hash IS NOT NULL, created_at, expires_at, disabled_at"


class UnknownIdentity(TerminalError):
    """There is no such identity."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody, without the secret. `usable` says that nobody has disabled it."""

    name: str
    kind: str
    groups: tuple[str, ...]
    attributes: Mapping[str, Sequence[str | int]]
    has_password: bool = True
    created_at: datetime | None = None
    expires_at: datetime | None = None
    disabled_at: datetime | None = None

    @property
    def expires(self) -> float:
        """Seconds since 1970; 0 for never."""
        return self.expires_at.timestamp() if self.expires_at else 0

    @property
    def usable(self) -> bool:
        """Whether it is neither disabled nor expired."""
        return self.disabled_at is None and (self.expires_at is None or self.expires_at > datetime.now(UTC))


class IdentityStore:
    """The identities. Every method raises `DatabaseUnavailable` where Postgres does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._database = Database(settings, _TABLES, "headwater identity")
        self._salt = secrets.token_bytes(32)
        self._proven: dict[str, tuple[str, bytes]] = {}

    def add(
        self,
        name: str,
        kind: str,
        groups: Sequence[str],
        attributes: Mapping[str, Sequence[str | int]],
        password: str | None,
        expires_at: datetime | None = None,
    ) -> Identity:
        """A new identity. Raises `TerminalError` for a name that is taken or no name, `WeakPassword`."""
        if not NAME.fullmatch(name):
            raise TerminalError(
                f"'{name}' is no name", remedy="small letters, digits and . _ @ -, beginning with a letter"
            )
        kept = None if password is None else hashed(password)
        with self._database.connection() as connection:
            made = connection.execute(
                "INSERT INTO identities (name, kind, groups, attributes, password_hash, expires_at)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING name",
                (name, kind, list(groups), _json(attributes), kept, expires_at),
            ).fetchone()
        if made is None:
            raise TerminalError(f"there is an identity '{name}' already", remedy="`headwater identity list` shows it")
        return self.get(name)

    def all(self) -> list[Identity]:
        """All of them by name, the disabled too."""
        with self._database.connection() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM identities ORDER BY name").fetchall()  # noqa: S608
        return [_identity(row) for row in rows]

    def get(self, name: str) -> Identity:
        """One. Raises `UnknownIdentity`."""
        with self._database.connection() as connection:
            row = connection.execute(f"SELECT {_COLUMNS} FROM identities WHERE name = %s", (name,)).fetchone()  # noqa: S608
        if row is None:
            raise UnknownIdentity(f"there is no identity '{name}'", remedy="`headwater identity list` shows them")
        return _identity(row)

    def change(
        self, name: str, *, groups: Sequence[str] | None = None, attributes: Mapping[str, Any] | None = None
    ) -> Identity:
        """Other groups, other attributes; None leaves them. Raises `UnknownIdentity`."""
        self.get(name)
        with self._database.connection() as connection:
            connection.execute(
                "UPDATE identities SET groups = coalesce(%s, groups), attributes = coalesce(%s, attributes)"
                " WHERE name = %s",
                (None if groups is None else list(groups), None if attributes is None else _json(attributes), name),
            )
        return self.get(name)

    def set_password(self, name: str, password: str) -> Identity:
        """Another password; the old one is refused from now on. Raises `UnknownIdentity`, `WeakPassword`."""
        self.get(name)
        with self._database.connection() as connection:
            connection.execute("UPDATE identities SET password_hash = %s WHERE name = %s", (hashed(password), name))
        return self.get(name)

    def disable(self, name: str) -> Identity:
        """Refuse it from now on; it stays on record. Raises `UnknownIdentity`."""
        self.get(name)
        with self._database.connection() as connection:
            connection.execute(
                "UPDATE identities SET disabled_at = now() WHERE name = %s AND disabled_at IS NULL", (name,)
            )
        return self.get(name)

    def proven(self, name: str, password: str) -> bool:
        """Whether this password was right before, so that `verify` asks argon2 only where another hash is kept now."""
        held = self._proven.get(name)
        return held is not None and hmac.compare_digest(held[1], self._digest(password))

    def verify(self, name: str, password: str) -> Identity | None:
        """Who has this name and password and is usable; None in every other case, after the same time.

        One that was right is right again as long as the same hash is kept: argon2 is not asked twice by one process.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                f"SELECT password_hash, {_COLUMNS} FROM identities WHERE name = %s",  # noqa: S608
                (name,),
            ).fetchone()
        kept = row[0] if row else None
        proof = (kept or "", self._digest(password))
        if row is None or self._proven.get(name) != proof:
            if not matches(kept, password) or row is None:
                if self.proven(name, password):
                    self._proven.pop(name, None)  # it was, and is no more
                return None
            if len(self._proven) >= REMEMBERED:
                self._proven.clear()
            self._proven[name] = proof
        identity = _identity(row[1:])
        return identity if identity.usable else None

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def _digest(self, password: str) -> bytes:
        return hmac.digest(self._salt, password.encode(), "sha256")


def _identity(row: Sequence[Any]) -> Identity:
    name, kind, groups, attributes, *rest = row
    return Identity(name, kind, tuple(groups), {key: tuple(values) for key, values in attributes.items()}, *rest)


def _json(attributes: Mapping[str, Sequence[str | int]]) -> str:
    return json.dumps({key: list(values) for key, values in attributes.items()})
