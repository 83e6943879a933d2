"""The table of the audit trail: numbered without gaps, each entry hashed with the one before it.

The database refuses to change or delete an entry, and who writes may only insert. That keeps honest people honest; who
owns the database can undo it, and then the hashes and the anchors outside tell.
"""

from __future__ import annotations

import hashlib

import psycopg

from headwater.database.creating import create_once

TABLE = "audit_entries"
WRITER_ROLE = "headwater_audit"
"""A role of Postgres that may insert and read entries, and nothing else; made where the user may make roles."""
GENESIS = bytes(32)
WRITE_LOCK = "audit_entries"
_CREATE = """
CREATE TABLE IF NOT EXISTS audit_entries (
    sequence bigint PRIMARY KEY CHECK (sequence > 0),
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    entry text NOT NULL
);
COMMENT ON COLUMN audit_entries.entry IS 'Canonical JSON; hash = sha256(previous || sequence, 8 bytes || entry)';
CREATE INDEX IF NOT EXISTS audit_entries_who ON audit_entries ((entry::jsonb ->> 'who'));
CREATE INDEX IF NOT EXISTS audit_entries_at ON audit_entries ((entry::jsonb ->> 'at'));
CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_entries is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE OR REPLACE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
DO $$
BEGIN
    IF (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'headwater_audit') THEN
            CREATE ROLE headwater_audit NOLOGIN;
        END IF;
        GRANT headwater_audit TO current_user;
        GRANT SELECT, INSERT ON audit_entries TO headwater_audit;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    GRANT SELECT, INSERT ON audit_entries TO headwater_audit;
END $$;
"""


def ensure_table(connection: psycopg.Connection) -> None:
    """Make the table, its guard and the role that writes, where they are not."""
    create_once(connection, TABLE, _CREATE)


def become_writer(connection: psycopg.Connection) -> None:
    """Have no other right on this connection than to insert and read entries, where the role is there."""
    there = "SELECT 1 FROM pg_roles WHERE rolname = %s AND pg_has_role(current_user, oid, 'MEMBER')"
    if connection.execute(there, (WRITER_ROLE,)).fetchone():
        connection.execute("SET ROLE headwater_audit")


def link(previous: bytes, sequence: int, text: str) -> bytes:
    """The hash of an entry that follows one with the hash `previous`."""
    return hashlib.sha256(previous + sequence.to_bytes(8, "big") + text.encode()).digest()
