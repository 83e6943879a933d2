"""The header `Idempotency-Key`: a request that is repeated gets the answer that was given, and nothing is sent again.

The first request claims the key for as long as it can take; a server that is killed meanwhile frees it by time. What
was refused is not kept, for it may succeed later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from psycopg.types.json import Json

from headwater.api.keys import ApiKey
from headwater.api.problems import Problem
from headwater.database.pool import Database

KEPT = "24 hours"
LONGEST_KEY = 255
CLAIM_SLACK_SECONDS = 30.0
"""On top of the broker's time: reading, judging, and waiting for a connection."""

_CLAIM = """
INSERT INTO api_answers AS a (key_id, idempotency_key, request_sha256, claimed_until)
VALUES (%(key)s, %(name)s, %(sha)s, now() + make_interval(secs => %(seconds)s))
ON CONFLICT (key_id, idempotency_key) DO UPDATE SET claimed_until = excluded.claimed_until
WHERE a.answer IS NULL AND a.claimed_until < now() AND a.request_sha256 = excluded.request_sha256
RETURNING true
"""


def fingerprint(dataset: str, partial: bool, content_type: str, body: bytes) -> bytes:
    """What makes two requests the same one."""
    digest = hashlib.sha256(f"{dataset}\n{partial}\n{content_type}\n".encode())
    digest.update(body)
    return digest.digest()


class Answers:
    """Answers that were given, by API key and idempotency key. Methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database, ack_seconds: float) -> None:
        self._database = database
        self._seconds = ack_seconds + CLAIM_SLACK_SECONDS

    def claim(self, key: ApiKey, name: str, sha256: bytes) -> dict[str, Any] | None:
        """Take the key for this request (None), or give the answer it had.

        Raises `Problem`: 422 where the key stands for another request, 409 while the first is being worked on.
        """
        if not 0 < len(name) <= LONGEST_KEY:
            raise Problem(HTTPStatus.BAD_REQUEST, "idempotency-key", f"a key has 1 to {LONGEST_KEY} characters")
        values = {"key": key.key_id, "name": name, "sha": sha256, "seconds": self._seconds}
        with self._database.connection() as connection:
            connection.execute(f"DELETE FROM api_answers WHERE created_at < now() - interval '{KEPT}'")  # noqa: S608
            if connection.execute(_CLAIM, values).fetchone():
                return None
            found = connection.execute(
                "SELECT request_sha256, answer FROM api_answers WHERE key_id = %s AND idempotency_key = %s",
                (key.key_id, name),
            ).fetchone()
        if found is not None and bytes(found[0]) != sha256:
            what = "this key was used for another request"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused", what)
        if found is None or found[1] is None:
            what = "the first request with this key is being worked on"
            raise Problem(HTTPStatus.CONFLICT, "in-progress", what, retry_after=2)
        answer: dict[str, Any] = found[1]
        return answer

    def keep(self, key: ApiKey, name: str, answer: Mapping[str, Any]) -> None:
        """Keep the answer of the request that claimed this key."""
        with self._database.connection() as connection:
            connection.execute(
                "UPDATE api_answers SET answer = %s WHERE key_id = %s AND idempotency_key = %s",
                (Json(dict(answer)), key.key_id, name),
            )

    def release(self, key: ApiKey, name: str) -> None:
        """Free the key: the request was refused."""
        with self._database.connection() as connection:
            connection.execute(
                "DELETE FROM api_answers WHERE key_id = %s AND idempotency_key = %s AND answer IS NULL",
                (key.key_id, name),
            )
