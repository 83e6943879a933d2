"""How many requests and rows an identity has in a minute, whichever process of API and sidecar it asks.

The counts are in Postgres. A process takes a twentieth of the requests at a time and gives back what it did not need a
second later, so that a request mostly asks nobody: together they never allow more requests than there are. Rows are
known when they are there, so the last answer may go beyond, and with it a twentieth of the rows per process.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from headwater.database.pool import Database
from headwater.errors import RetryableError
from headwater.policy.model import Limits
from headwater.settings import Settings

PARTS = 20
HOLDS_SECONDS = 1.0
MOST_NAMES = 10_000
_TABLE = """
CREATE TABLE IF NOT EXISTS identity_usage (
    name text PRIMARY KEY,
    minute bigint NOT NULL DEFAULT 0,
    requests bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE identity_usage IS 'What was taken in `minute` (since 1970), not all of it needed';
"""
_READ = """
SELECT minute, requests, rows, floor(extract(epoch FROM now()) / 60)::bigint, extract(epoch FROM now())::float8
FROM identity_usage WHERE name = %s FOR UPDATE
"""
_WRITE = "UPDATE identity_usage SET minute = %s, requests = %s, rows = %s WHERE name = %s"


class QuotaUsedUp(RetryableError):
    """The identity has used up what it has in a minute: 429. `retry_after` is in seconds."""

    def __init__(self, what: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"quota: {what} are used up", remedy=f"try again in {retry_after} s")


@dataclass
class _Share:
    """What this process has of an identity's minute: requests left, rows not yet told, all rows when it last asked."""

    minute: int = -1
    left: int = 0
    untold: int = 0
    rows: int = 0
    asked_at: float = float("-inf")
    ends_at: float = float("-inf")


class Quotas:
    """Thread-safe. Methods raise `DatabaseUnavailable`."""

    def __init__(self, settings: Settings) -> None:
        self._database = Database(settings, _TABLE, "headwater quotas")
        self._lock = threading.Lock()
        self._shares: dict[str, _Share] = {}

    def take(self, name: str, limits: Limits) -> None:
        """Count one request. Raises `QuotaUsedUp`."""
        if not limits.requests_per_minute and not limits.rows_per_minute:
            return
        with self._lock:
            share = self._share(name)
            now = time.monotonic()
            if share.left < 1 or now >= share.ends_at or now - share.asked_at >= HOLDS_SECONDS:
                self._ask(name, share, limits)
            wait = max(1, round(share.ends_at - time.monotonic()))
            if limits.rows_per_minute and share.rows + share.untold >= limits.rows_per_minute:
                raise QuotaUsedUp(f"{limits.rows_per_minute:,} rows a minute", wait)
            if limits.requests_per_minute and share.left < 1:
                raise QuotaUsedUp(f"{limits.requests_per_minute:,} requests a minute", wait)
            share.left -= 1

    def spend(self, name: str, limits: Limits, rows: int) -> None:
        """Count rows of an answer. Raises nothing of its own: they are there already."""
        if not limits.rows_per_minute or not rows:
            return
        with self._lock:
            share = self._share(name)
            share.untold += rows
            if share.untold * PARTS >= limits.rows_per_minute:
                self._ask(name, share, limits)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def _share(self, name: str) -> _Share:
        if name not in self._shares and len(self._shares) >= MOST_NAMES:
            self._shares.clear()  # what they had left is lost to them until the minute ends
        return self._shares.setdefault(name, _Share())

    def _ask(self, name: str, share: _Share, limits: Limits) -> None:
        """Give back what is left, tell the rows, and take another part."""
        limit = limits.requests_per_minute
        with self._database.connection() as connection:
            connection.execute("INSERT INTO identity_usage (name) VALUES (%s) ON CONFLICT DO NOTHING", (name,))
            found = connection.execute(_READ, (name,)).fetchone()
            if found is None:
                raise RetryableError(
                    "the row of an identity's usage is gone", where="identity_usage", remedy="try again"
                )
            minute, requests, rows, current, seconds = found
            if minute != current:
                requests = rows = 0
            if share.minute == current:
                requests = max(0, requests - share.left)
                rows += share.untold
            part = max(1, min(-(-limit // PARTS), limit - requests)) if limit else 1_000_000
            part = part if not limit or requests < limit else 0
            connection.execute(_WRITE, (current, requests + (part if limit else 0), rows, name))
        share.minute, share.left, share.untold, share.rows = current, part, 0, rows
        share.asked_at = time.monotonic()
        share.ends_at = share.asked_at + 60 - seconds % 60
