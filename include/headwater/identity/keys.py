"""API keys of identities: scoped, expiring, rotated; of the same form and in the same table as those that send events.

A key may do what its owner may, and of that only what its scopes name: `<surface>:<tool>`, `<surface>:*` or `*`. Only
the SHA-256 of its 256 random bits is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headwater.database.pool import Database
from headwater.errors import TerminalError
from headwater.identity.key_form import KEY_TABLE, kept_of, new_key
from headwater.identity.store import Identity, IdentityStore
from headwater.policy.model import Surface
from headwater.settings import Settings

SCOPE = re.compile(rf"\*|(?:{'|'.join(Surface)}):(?:\*|[a-z_]+)")
MOST_DAYS = 400
_COLUMNS = "key_id, owner, name, scopes, created_at, expires_at, revoked_at"


@dataclass(frozen=True, slots=True)
class IdentityKey:
    """A key as it is listed; the secret is not known."""

    key_id: str
    owner: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    @property
    def usable(self) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and self.expires_at > datetime.now(UTC)


class IdentityKeys:
    """The keys in Postgres. Every method raises `DatabaseUnavailable` where that does not answer."""

    def __init__(self, settings: Settings, identities: IdentityStore) -> None:
        self._database = Database(settings, KEY_TABLE, "headwater identity keys")
        self._identities = identities

    def create(self, owner: str, name: str, scopes: Sequence[str], days: int) -> tuple[str, IdentityKey]:
        """A new key and its text, which is told this once. Raises `UnknownIdentity`, `TerminalError`."""
        self._identities.get(owner)
        for scope in scopes:
            if not SCOPE.fullmatch(scope):
                raise TerminalError(f"'{scope}' is no scope", remedy="mcp:query, api:* or *")
        if not scopes or not 1 <= days <= MOST_DAYS:
            raise TerminalError(f"a key has scopes and 1 to {MOST_DAYS} days", remedy="name them")
        key_id, text, digest = new_key()
        expires = datetime.now(UTC) + timedelta(days=days)
        with self._database.connection() as connection:
            connection.execute(
                "INSERT INTO api_keys (key_id, name, secret_sha256, datasets, events_per_minute, owner, scopes,"
                " expires_at) VALUES (%s, %s, %s, '{}', 0, %s, %s, %s)",
                (key_id, name, digest, owner, list(scopes), expires),
            )
        return text, self.get(key_id)

    def rotate(self, key_id: str, days: int, overlap: timedelta) -> tuple[str, IdentityKey]:
        """A new key with the same owner and scopes; the old one ends after `overlap`, or sooner where it does so."""
        old = self.get(key_id)
        if not old.usable:
            raise TerminalError(f"the key {key_id} is revoked or expired", remedy="create another")
        made = self.create(old.owner, old.name, old.scopes, days)
        with self._database.connection() as connection:
            connection.execute(
                "UPDATE api_keys SET expires_at = least(expires_at, now() + %s) WHERE key_id = %s", (overlap, key_id)
            )
        return made

    def revoke(self, key_id: str) -> IdentityKey:
        """Refuse it from now on."""
        self.get(key_id)
        with self._database.connection() as connection:
            connection.execute(
                "UPDATE api_keys SET revoked_at = now() WHERE key_id = %s AND revoked_at IS NULL", (key_id,)
            )
        return self.get(key_id)

    def all(self, owner: str | None = None) -> list[IdentityKey]:
        """All keys of identities, or of one, oldest first, the revoked too."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM api_keys WHERE owner IS NOT NULL AND owner = coalesce(%s, owner)"  # noqa: S608
                " ORDER BY created_at, key_id",
                (owner,),
            ).fetchall()
        return [_key(row) for row in rows]

    def get(self, key_id: str) -> IdentityKey:
        """One. Raises `TerminalError` where there is none."""
        with self._database.connection() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM api_keys WHERE key_id = %s AND owner IS NOT NULL",  # noqa: S608
                (key_id,),
            ).fetchone()
        if row is None:
            raise TerminalError(f"there is no key '{key_id}' of an identity", remedy="`headwater identity keys`")
        return _key(row)

    def verify(self, text: str) -> tuple[Identity, IdentityKey] | None:
        """Owner and key, if both are usable."""
        with self._database.connection() as connection:
            row = kept_of(connection, text, f"owner, {_COLUMNS}")
        if row is None or row[0] is None:
            return None
        key, owner = _key(row[1:]), self._identities.get(row[0])
        return (owner, key) if key.usable and owner.usable else None

    def close(self) -> None:
        """Close the connections."""
        self._database.close()


def _key(row: Sequence[object]) -> IdentityKey:
    key_id, owner, name, scopes, *rest = row
    return IdentityKey(key_id, owner, name, tuple(scopes), *rest)  # type: ignore[arg-type]
