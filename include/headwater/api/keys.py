"""API keys: `hw_<id>_<secret>`. Only the secret's SHA-256 is kept, which suffices for 256 random bits.

A key may be bound to datasets, and has a number of events per minute, counted in Postgres for all servers together.
Keys of identities (`headwater.identity.keys`) are in the same table, and send no events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headwater.database.pool import Database
from headwater.errors import TerminalError
from headwater.identity.key_form import kept_of, new_key

DEFAULT_EVENTS_PER_MINUTE = 60_000

_TAKE = """
INSERT INTO api_usage AS used (key_id, minute, events) VALUES (%(key)s, date_trunc('minute', now()), %(events)s)
ON CONFLICT (key_id) DO UPDATE SET
    events = CASE WHEN used.minute = excluded.minute THEN used.events ELSE 0 END + excluded.events,
    minute = excluded.minute
WHERE CASE WHEN used.minute = excluded.minute THEN used.events ELSE 0 END + excluded.events <= %(quota)s
RETURNING events
"""
_GIVE_BACK = """
UPDATE api_usage SET events = greatest(0, events - %s) WHERE key_id = %s AND minute = date_trunc('minute', now())
"""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is listed; the secret is not known. `datasets`: those it may send to, empty for all."""

    key_id: str
    name: str
    datasets: Sequence[str]
    events_per_minute: int
    created_at: datetime
    revoked_at: datetime | None

    def may_send(self, dataset: str) -> bool:
        """Whether it may send events of this dataset."""
        return not self.datasets or dataset in self.datasets


class ApiKeys:
    """The keys in Postgres. Every method raises `DatabaseUnavailable` where that does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, datasets: Sequence[str], events_per_minute: int) -> tuple[str, ApiKey]:
        """A new key: its text, which is told this once, and what is kept of it."""
        key_id, text, digest = new_key()
        with self._database.connection() as connection:
            connection.execute(
                "INSERT INTO api_keys (key_id, name, secret_sha256, datasets, events_per_minute)"
                " VALUES (%s, %s, %s, %s, %s)",
                (key_id, name, digest, list(datasets), events_per_minute),
            )
        return text, self._of(key_id)

    def all(self) -> list[ApiKey]:
        """All keys, oldest first, the revoked too."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM api_keys WHERE {_SENDS} ORDER BY created_at, key_id"  # noqa: S608
            ).fetchall()
        return [ApiKey(*row) for row in rows]

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key from now on; one that is revoked stays so. Raises `TerminalError` for one that is not there."""
        with self._database.connection() as connection:
            connection.execute(
                f"UPDATE api_keys SET revoked_at = now() WHERE key_id = %s AND revoked_at IS NULL AND {_SENDS}",  # noqa: S608
                (key_id,),
            )
        return self._of(key_id)

    def known(self, text: str) -> ApiKey | None:
        """The key that has this text; None where there is none, or it was revoked."""
        with self._database.connection() as connection:
            row = kept_of(connection, text, f"owner, {_COLUMNS}")
        return None if row is None or row[0] is not None else ApiKey(*row[1:])

    def take(self, key: ApiKey, events: int) -> bool:
        """Count these events in the current minute; whether they are within the quota (else nothing is counted)."""
        if events > key.events_per_minute:
            return False
        values = {"key": key.key_id, "events": events, "quota": key.events_per_minute}
        with self._database.connection() as connection:
            return connection.execute(_TAKE, values).fetchone() is not None

    def give_back(self, key: ApiKey, events: int) -> None:
        """These events were not accepted after all, for a reason that was not the sender's."""
        with self._database.connection() as connection:
            connection.execute(_GIVE_BACK, (events, key.key_id))

    def _of(self, key_id: str) -> ApiKey:
        with self._database.connection() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM api_keys WHERE key_id = %s AND {_SENDS}",  # noqa: S608
                (key_id,),
            ).fetchone()
        if row is None:
            raise TerminalError(f"there is no API key '{key_id}'", remedy="`headwater api key list` shows the ids")
        return ApiKey(*row)


_SENDS = "owner IS NULL"
_COLUMNS = "key_id, name, datasets, events_per_minute, created_at, revoked_at"
