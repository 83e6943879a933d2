"""API keys, `hw_<id>_<secret>`: their form, and the one table of those that send events and those of identities.

Only the secret's SHA-256 is kept, which suffices for 256 random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import Any

import psycopg

FORM = re.compile(r"hw_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
KEY_TABLE = """
CREATE TABLE IF NOT EXISTS api_keys (
    key_id text PRIMARY KEY,
    name text NOT NULL,
    secret_sha256 bytea NOT NULL,
    datasets text[] NOT NULL,
    events_per_minute integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
ALTER TABLE api_keys ADD COLUMN IF NOT EXISTS owner text;
ALTER TABLE api_keys ADD COLUMN IF NOT EXISTS scopes text[] NOT NULL DEFAULT '{api:send_events}';
ALTER TABLE api_keys ADD COLUMN IF NOT EXISTS expires_at timestamptz;
COMMENT ON COLUMN api_keys.owner IS 'The identity whose key it is; null: a sender of events and nothing else';
COMMENT ON COLUMN api_keys.datasets IS 'Datasets it may send to; empty: all';
"""


def new_key() -> tuple[str, str, bytes]:
    """A key's id, its text, and what is kept of the secret."""
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    return key_id, f"hw_{key_id}_{secret}", _digest(secret)


def kept_of(connection: psycopg.Connection, text: str, columns: str) -> Sequence[Any] | None:
    """These columns of the key that has this text; None where there is none, or it was revoked."""
    match = FORM.fullmatch(text)
    if match is None:
        return None
    row = connection.execute(
        f"SELECT secret_sha256, {columns} FROM api_keys WHERE key_id = %s AND revoked_at IS NULL",  # noqa: S608
        (match[1],),
    ).fetchone()
    if row is None or not hmac.compare_digest(bytes(row[0]), _digest(match[2])):
        return None
    return row[1:]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
