"""Passwords are kept as argon2id hashes, and a name that is not there takes as long as one that is."""

from __future__ import annotations

import time

import pytest

from headwater.identity.passwords import WeakPassword, hashed, matches


def test_only_the_password_matches_its_hash():
    kept = hashed("correct horse battery")
    assert kept.startswith("$argon2id$")
    assert "horse" not in kept
    assert kept != hashed("correct horse battery")
    assert matches(kept, "correct horse battery")
    assert not matches(kept, "correct horse batterY")


def test_nothing_matches_nobody_or_a_broken_hash():
    assert not matches(None, "nobody has this password, but trying it takes as long as any")
    assert not matches("", "")
    assert not matches("$argon2id$broken", "correct horse battery")


def test_nobody_takes_as_long_as_somebody():
    kept = hashed("correct horse battery")
    somebody, nobody = min(clock(kept) for _ in range(3)), min(clock(None) for _ in range(3))
    assert nobody > somebody / 3


def clock(kept: str | None) -> float:
    begin = time.process_time()
    matches(kept, "another password")
    return time.process_time() - begin


def test_a_short_password_is_refused():
    with pytest.raises(WeakPassword):
        hashed("short")
