"""Answers that were given, kept by a key that holds all they depend on: so they are never stale, and never another's.

The key: the role, the caller's attributes, which application of which policy, the mark of every table (snapshot and
load), the statement, its parameters and what is made of its rows. What is not known to stay the same (live tables,
functions of the clock or of chance) is not kept at all. In this process by default, in Redis for several by
HEADWATER_API_CACHE_URL; then Redis holds rows, and belongs where ClickHouse may stand. A cache that does not answer is
no cache, and said in the log.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Protocol

from headwater.errors import ConfigurationError
from headwater.policy.model import Caller
from headwater.settings import Settings

log = logging.getLogger(__name__)

LARGEST = 4 * 1024**2
"""Bytes of the longest answer that is kept."""

PREFIX = "headwater:api:1:"


class Cache(Protocol):
    """Bytes by key, for some time."""

    def get(self, key: str) -> bytes | None:
        """What is kept, or None."""

    def put(self, key: str, value: bytes) -> None:
        """Keep it, if it is not too long."""

    def close(self) -> None:
        """Let go of what it holds."""


def key_of(
    caller: Caller,
    policy: tuple[str, str],
    tables: Sequence[str],
    mark: str,
    sql: str,
    parameters: Mapping[str, str],
    form: Sequence[object] = (),
) -> str:
    """The key of an answer; `policy` is its version and which application of it, `mark` the state of the tables.

    All attributes count: which of them a predicate reads is for the engine to say. `form` is what makes different
    answers of the same rows.
    """
    attributes = {name: list(values) for name, values in sorted(caller.attributes.items())}
    bound = dict(sorted(parameters.items()))
    parts = [caller.role.name, attributes, list(policy), sorted(tables), mark, sql, bound, list(form)]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


class InProcess:
    """The least recently used goes first. Thread-safe."""

    def __init__(self, most_bytes: int, seconds: float) -> None:
        self._most, self._seconds = most_bytes, seconds
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._size = 0

    def get(self, key: str) -> bytes | None:
        """What is kept, or None."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            if found[0] < monotonic():
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            return found[1]

    def put(self, key: str, value: bytes) -> None:
        """Keep it, if it is not too long."""
        if len(value) > min(LARGEST, self._most):
            return
        with self._lock:
            if key in self._kept:
                self._drop(key)
            self._kept[key] = (monotonic() + self._seconds, value)
            self._size += len(value)
            while self._size > self._most:
                self._drop(next(iter(self._kept)))

    def close(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()
            self._size = 0

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size

    def _drop(self, key: str) -> None:
        self._size -= len(self._kept.pop(key)[1])


class InRedis:
    """In Redis, for several processes; a fault of it is a miss."""

    def __init__(self, url: str, seconds: float) -> None:
        import redis

        self._fault: Any = redis.RedisError
        try:
            self._client = redis.Redis.from_url(url, socket_timeout=0.25, socket_connect_timeout=0.25)
        except ValueError:
            raise ConfigurationError(
                "this is no address of a Redis server", where="HEADWATER_API_CACHE_URL", remedy="redis://host:6379/0"
            ) from None
        self._seconds = seconds

    def get(self, key: str) -> bytes | None:
        """What is kept, or None."""
        try:
            found = self._client.get(PREFIX + key)
        except self._fault as error:
            log.warning("Redis does not answer: %s", type(error).__name__)
            return None
        return found if isinstance(found, bytes) else None

    def put(self, key: str, value: bytes) -> None:
        """Keep it, if it is not too long."""
        if len(value) > LARGEST:
            return
        try:
            self._client.set(PREFIX + key, value, px=max(1, round(self._seconds * 1000)))
        except self._fault as error:
            log.warning("Redis does not answer: %s", type(error).__name__)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def cache_of(settings: Settings) -> Cache:
    """The cache that the settings ask for."""
    url = settings.api_cache_url.get_secret_value()
    if url:
        return InRedis(url, settings.api_cache_seconds)
    return InProcess(settings.api_cache_bytes, settings.api_cache_seconds)
