"""HTTP sessions without an engine: found, locked, expired."""

from __future__ import annotations

import time

import pytest

from headwater.warehouse.embedded.access import User
from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.sessions import Sessions

USER = User("w", "", readonly=False)


def error_name(sessions: Sessions, *, check: bool = False, timeout: str = "") -> str:
    with pytest.raises(EndpointError) as caught:
        sessions.acquire(USER, "s", check=check, timeout=timeout)
    return caught.value.name


def test_a_session_is_made_locked_and_found_again() -> None:
    sessions = Sessions()
    assert error_name(sessions, check=True) == "SESSION_NOT_FOUND"
    session = sessions.acquire(USER, "s", check=False, timeout="")
    assert error_name(sessions) == "SESSION_IS_LOCKED"
    sessions.release(session, close=False)
    assert sessions.acquire(USER, "s", check=True, timeout="") is session


def test_a_session_expires_only_when_idle() -> None:
    sessions = Sessions()
    session = sessions.acquire(USER, "s", check=False, timeout="10")
    assert sessions.expire(time.monotonic() + 100) == 0
    sessions.release(session, close=False)
    assert sessions.expire(time.monotonic() + 5) == 0
    assert sessions.expire(time.monotonic() + 11) == 1
    assert error_name(sessions, check=True) == "SESSION_NOT_FOUND"


@pytest.mark.parametrize("timeout", ["3601", "x", "-1"])
def test_timeouts_out_of_bounds(timeout: str) -> None:
    assert error_name(Sessions(), timeout=timeout) == "INVALID_SESSION_TIMEOUT"
