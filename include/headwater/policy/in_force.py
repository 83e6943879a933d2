"""The policy in force and its decision, for a process that serves: read anew within a second of a change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from headwater.errors import HeadwaterError, TerminalError
from headwater.policy.bundle import policy_of
from headwater.policy.decision import Decider, engine_of
from headwater.settings import Settings

HOLDS_SECONDS = 1.0
"""How long a policy that was read is believed to be in force."""
REFRESH_SECONDS = 0.5
"""After so long one of those who ask reads it anew, while the others still go by the one they have."""


class NoPolicy(TerminalError):
    """No policy is in force: nobody is let in."""


class InForce:
    """Thread-safe. `read` gives the policy's text, or nothing where there is none."""

    def __init__(self, settings: Settings, read: Callable[[], str]) -> None:
        self._settings = settings
        self._read = read
        self._lock = threading.Lock()
        self._text = ""
        self._decider: Decider | None = None
        self._read_at = float("-inf")

    def decider(self) -> Decider:
        """The decision of the policy in force. Raises `NoPolicy`, `ConfigurationError`, and what `read` raises."""
        age = time.monotonic() - self._read_at
        if age >= REFRESH_SECONDS and self._lock.acquire(blocking=age >= HOLDS_SECONDS):
            try:
                if time.monotonic() - self._read_at >= REFRESH_SECONDS:
                    self._refresh()
            finally:
                self._lock.release()
        decider = self._decider
        if decider is None:
            raise NoPolicy("no policy is in force", remedy="`headwater policy apply`")
        return decider

    def _refresh(self) -> None:
        text = self._read()
        if text != self._text or self._decider is None:
            try:
                policy = policy_of(text) if text else None
                decider = Decider(policy, engine_of(self._settings, policy)) if policy else None
            except HeadwaterError:
                self._decider, self._text = None, ""  # a bundle that cannot be read lets nobody in
                raise
            self._decider, self._text = decider, text
        self._read_at = time.monotonic()
