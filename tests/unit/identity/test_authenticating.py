"""How many logins by password are let wait; tests/integration/policy/test_identities asks a real Postgres."""

from __future__ import annotations

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from headwater.identity.authenticating import (
    HASHED_AT_ONCE,
    LOGIN_WAIT_SECONDS,
    MOST_LOGINS,
    Authenticator,
    NotAuthenticated,
    TooManyLogins,
)
from headwater.identity.store import Identity, IdentityStore
from headwater.settings import Settings


class Slow(IdentityStore):
    """Whoever has the password `right` is known; looking takes until `go`."""

    def __init__(self) -> None:
        super().__init__(Settings())
        self.go = threading.Event()
        self.looking = threading.Semaphore(0)

    def verify(self, name: str, password: str) -> Identity | None:
        self.looking.release()
        if not self.proven(name, password):
            assert self.go.wait(30)
        return Identity(name, "person", (), {}) if password == "right" else None


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"ann:{password}".encode()).decode()


def outcome(authenticator: Authenticator, password: str) -> type | float:
    begun = time.monotonic()
    try:
        authenticator.authenticate(basic(password))
    except TooManyLogins:
        return time.monotonic() - begun
    except NotAuthenticated:
        return NotAuthenticated
    return Identity


@pytest.fixture
def store():
    made = Slow()
    yield made
    made.go.set()
    made.close()


def test_whoever_comes_when_all_places_for_logins_are_taken_is_sent_away_at_once(store, monkeypatch):
    monkeypatch.setattr("headwater.identity.authenticating.LOGIN_WAIT_SECONDS", 30.0)
    authenticator = Authenticator(Settings(), store)
    with ThreadPoolExecutor(MOST_LOGINS) as threads:
        waiting = [threads.submit(outcome, authenticator, f"wrong {number}") for number in range(MOST_LOGINS)]
        for _ in range(HASHED_AT_ONCE):
            assert store.looking.acquire(timeout=10)
        deadline = time.monotonic() + 10
        while authenticator._logins._value:  # until the last of them has come
            assert time.monotonic() < deadline
            time.sleep(0.01)
        refused = [outcome(authenticator, f"wrong again {number}") for number in range(10)]
        assert all(isinstance(one, float) and one < LOGIN_WAIT_SECONDS / 2 for one in refused)
        assert not store.looking.acquire(blocking=False)  # and argon2 is asked for two at a time
        store.go.set()
        assert [one.result(30) for one in waiting] == [NotAuthenticated] * MOST_LOGINS
    assert outcome(authenticator, "right") is Identity


def test_a_password_that_was_right_before_does_not_wait_behind_wrong_ones(store):
    authenticator = Authenticator(Settings(), store)
    store._proven["ann"] = ("kept", store._digest("right"))
    for _ in range(MOST_LOGINS):
        authenticator._logins.acquire()
    assert outcome(authenticator, "right") is Identity
    assert isinstance(outcome(authenticator, "wrong"), float)
