"""Passwords, kept as argon2id hashes (RFC 9106's second choice: 64 MiB, 3 passes), so that one costs 50 ms to try."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from headwater.errors import TerminalError

SHORTEST = 12
_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash("nobody has this password, but trying it takes as long as any")


class WeakPassword(TerminalError):
    """A password that is too short."""


def hashed(password: str) -> str:
    """The hash to keep. Raises `WeakPassword`."""
    if len(password) < SHORTEST:
        raise WeakPassword(f"a password has at least {SHORTEST} characters", remedy="choose a longer one")
    return _HASHER.hash(password)


def matches(kept: str | None, password: str) -> bool:
    """Whether it is this password; takes as long where nothing is kept, so that the clock tells no names."""
    try:
        return _HASHER.verify(kept or _NOBODY, password) and kept is not None
    except (VerificationError, InvalidHashError):
        return False
