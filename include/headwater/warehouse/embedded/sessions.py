"""HTTP sessions: `session_id` keeps a connection, and with it settings, the current database and temporary tables.

A read-only user's session keeps no connection: under readonly=1 there is nothing a session could hold but the
current database, and each query must be free to bring allowed settings of its own.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from headwater.warehouse.embedded.access import User
from headwater.warehouse.embedded.engine import EngineConnection
from headwater.warehouse.embedded.errors import EndpointError

DEFAULT_TIMEOUT = 60
MAX_TIMEOUT = 3600


@dataclass
class Session:
    """One client's state. `busy` while a query runs in it: a second one is refused, as ClickHouse does."""

    key: tuple[str, str]
    timeout: int = DEFAULT_TIMEOUT
    connection: EngineConnection | None = None
    database: str | None = None
    busy: bool = True
    expires: float = field(default=0.0)


class Sessions:
    """All sessions. Thread-safe; `expire` is called now and then by the app."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[tuple[str, str], Session] = {}

    def acquire(self, user: User, session_id: str, *, check: bool, timeout: str) -> Session:
        """The session, made if need be, and busy from now on.

        Raises SESSION_NOT_FOUND (with `check`), SESSION_IS_LOCKED, INVALID_SESSION_TIMEOUT.
        """
        seconds = _parse_timeout(timeout)
        key = (user.name, session_id)
        self.expire()
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                if check:
                    raise EndpointError("SESSION_NOT_FOUND", f"Session {session_id} not found.")
                session = self._sessions[key] = Session(key)
            elif session.busy:
                raise EndpointError("SESSION_IS_LOCKED", f"Session {session_id} is locked by a concurrent client.")
            session.busy = True
            session.timeout = seconds
            return session

    def release(self, session: Session, *, close: bool) -> None:
        """Give it back; its time begins to run, or it is closed."""
        with self._lock:
            session.busy = False
            session.expires = time.monotonic() + session.timeout
            if close:
                self._sessions.pop(session.key, None)
        if close and session.connection is not None:
            session.connection.close()

    def expire(self, now: float | None = None) -> int:
        """Close what was idle beyond its timeout; returns how many."""
        moment = time.monotonic() if now is None else now
        with self._lock:
            old = [one for one in self._sessions.values() if not one.busy and one.expires <= moment]
            for session in old:
                del self._sessions[session.key]
        for session in old:
            if session.connection is not None:
                session.connection.close()
        return len(old)

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            everything, self._sessions = list(self._sessions.values()), {}
        for session in everything:
            if session.connection is not None:
                session.connection.close()


def _parse_timeout(text: str) -> int:
    if not text:
        return DEFAULT_TIMEOUT
    if not text.isdigit():
        raise EndpointError("INVALID_SESSION_TIMEOUT", f"Invalid session timeout: '{text}'.")
    seconds = int(text)
    if seconds > MAX_TIMEOUT:
        raise EndpointError(
            "INVALID_SESSION_TIMEOUT",
            f"Session timeout '{text}' is larger than max_session_timeout: {MAX_TIMEOUT}. Maximum session timeout "
            "could be modified in configuration file.",
        )
    return seconds
