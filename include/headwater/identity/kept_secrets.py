"""Secrets that the platform has to read again, kept in its Postgres, encrypted with Fernet (AES-128-CBC and HMAC).

The keys are not in the database: HEADWATER_SECRET_KEYS, the newest first. A new one is put in front, `headwater
identity secret rotate` encrypts everything with it, and then the old one may go. Passwords and API keys are not here:
of those only hashes are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from types import TracebackType
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from headwater.database.pool import Database
from headwater.errors import ConfigurationError, TerminalError
from headwater.settings import Settings

NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
MASK_KEY = "mask_key"
NEWEST, OLDER, UNKNOWN = "newest", "older", "unknown"
_TABLE = """
CREATE TABLE IF NOT EXISTS kept_secrets (
    name text PRIMARY KEY,
    encrypted bytea NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN kept_secrets.encrypted IS 'A Fernet token; the keys are in HEADWATER_SECRET_KEYS';
"""
_PUT = """
INSERT INTO kept_secrets (name, encrypted) VALUES (%s, %s)
ON CONFLICT (name) DO UPDATE SET encrypted = excluded.encrypted, changed_at = now()
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A secret as it is listed. `by`: encrypted with the newest key, an older one, or one that is not set any more."""

    name: str
    changed_at: datetime
    by: str


class KeptSecrets:
    """The secrets; a context manager. Methods raise `DatabaseUnavailable`."""

    def __init__(self, settings: Settings) -> None:
        self._keys = keys_of(settings)
        self._all = MultiFernet(self._keys)
        self._database = Database(settings, _TABLE, "headwater secrets")

    def put(self, name: str, secret: str) -> None:
        """Keep a secret, instead of the one before. Raises `TerminalError` for a name that is none."""
        if not NAME.fullmatch(name) or not secret:
            raise TerminalError(
                f"'{name}' is no name, or the secret is empty", remedy="small letters, digits and . _ -"
            )
        with self._database.connection() as connection:
            connection.execute(_PUT, (name, self._all.encrypt(secret.encode())))

    def get(self, name: str) -> str | None:
        """The secret; None where there is none. Raises `ConfigurationError` where no key opens it."""
        with self._database.connection() as connection:
            row = connection.execute("SELECT encrypted FROM kept_secrets WHERE name = %s", (name,)).fetchone()
        return None if row is None else self._opened(name, bytes(row[0]))

    def get_or_make(self, name: str, make: Callable[[], str]) -> str:
        """The secret, made and kept where there is none; the same for two that ask at once."""
        encrypted = self._all.encrypt(make().encode())
        with self._database.connection() as connection:
            insert = "INSERT INTO kept_secrets (name, encrypted) VALUES (%s, %s) ON CONFLICT DO NOTHING"
            connection.execute(insert, (name, encrypted))
            row = connection.execute("SELECT encrypted FROM kept_secrets WHERE name = %s", (name,)).fetchone()
        if row is None:
            raise TerminalError(f"the secret {name} was taken away meanwhile", where="kept_secrets", remedy="try again")
        return self._opened(name, bytes(row[0]))

    def all(self) -> list[Kept]:
        """What is kept, by name."""
        with self._database.connection() as connection:
            rows = connection.execute("SELECT name, changed_at, encrypted FROM kept_secrets ORDER BY name").fetchall()
        return [Kept(name, changed_at, self._by(bytes(encrypted))) for name, changed_at, encrypted in rows]

    def rotate(self) -> int:
        """Encrypt all with the newest key, or none; how many there are. Raises `ConfigurationError`."""
        with self._database.connection() as connection:
            rows = connection.execute("SELECT name, encrypted FROM kept_secrets FOR UPDATE").fetchall()
            for name, encrypted in rows:
                anew = self._all.encrypt(self._opened(name, bytes(encrypted)).encode())
                connection.execute("UPDATE kept_secrets SET encrypted = %s WHERE name = %s", (anew, name))
        return len(rows)

    def remove(self, name: str) -> None:
        """Forget a secret. Raises `TerminalError` where there is none."""
        with self._database.connection() as connection:
            gone = connection.execute("DELETE FROM kept_secrets WHERE name = %s RETURNING name", (name,)).fetchone()
        if gone is None:
            raise TerminalError(f"there is no secret '{name}'", remedy="`headwater identity secret list` shows them")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._database.close()

    def _opened(self, name: str, encrypted: bytes) -> str:
        try:
            return self._all.decrypt(encrypted).decode()
        except InvalidToken:
            raise ConfigurationError(
                f"no key opens the secret {name}",
                where="HEADWATER_SECRET_KEYS",
                remedy="put the key back with which it was encrypted, or set the secret anew",
            ) from None

    def _by(self, encrypted: bytes) -> str:
        for number, key in enumerate(self._keys):
            try:
                key.decrypt(encrypted)
            except InvalidToken:
                continue
            return OLDER if number else NEWEST
        return UNKNOWN


def mask_key(settings: Settings) -> str:
    """The key of the policy's hashes: a warehouse that is made anew has the same pseudonyms. Raises as the class."""
    with KeptSecrets(settings) as kept:
        return kept.get_or_make(MASK_KEY, lambda: token_hex(32))


def new_key() -> str:
    """A key for HEADWATER_SECRET_KEYS."""
    return Fernet.generate_key().decode()


def keys_of(settings: Settings) -> list[Fernet]:
    """The keys, the newest first. Raises `ConfigurationError` where there is none, or one that is none."""
    texts = [text.strip() for text in settings.secret_keys.get_secret_value().split(",") if text.strip()]
    try:
        found = [Fernet(text) for text in texts]
    except ValueError:
        found = []
    if not found:
        raise ConfigurationError(
            "it has no Fernet key, or something else",
            where="HEADWATER_SECRET_KEYS",
            remedy="`headwater up` makes one; `headwater identity secret new-key` gives another",
        )
    return found
