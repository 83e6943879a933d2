"""The ingestion API's tables in the platform's Postgres: what keys used, and answers that were given."""

from __future__ import annotations

from headwater.database.pool import Database
from headwater.identity.key_form import KEY_TABLE
from headwater.settings import Settings

_TABLES = """CREATE TABLE IF NOT EXISTS api_usage (
    key_id text PRIMARY KEY REFERENCES api_keys,
    minute timestamptz NOT NULL,
    events integer NOT NULL
);
CREATE TABLE IF NOT EXISTS api_answers (
    key_id text NOT NULL REFERENCES api_keys,
    idempotency_key text NOT NULL,
    request_sha256 bytea NOT NULL,
    answer json,
    claimed_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key_id, idempotency_key)
);
COMMENT ON COLUMN api_answers.answer IS 'Null while the first request is being worked on';
CREATE INDEX IF NOT EXISTS api_answers_created_at ON api_answers (created_at);
"""


def api_database(settings: Settings) -> Database:
    """Connections for the API; its tables are made at the first use, with that of the keys."""
    return Database(settings, KEY_TABLE + _TABLES, "headwater api")
