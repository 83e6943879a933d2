"""The policy in force and its decision, for a process that serves: read anew within a second of a change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from headwater.errors import TerminalError
from headwater.policy.bundle import policy_of
from headwater.policy.decision import Decider, engine_of
from headwater.settings import Settings

HOLDS_SECONDS = 1.0
"""How long a policy that was read is believed to be in force."""


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
        with self._lock:
            if time.monotonic() - self._read_at >= HOLDS_SECONDS:
                self._refresh()
            if self._decider is None:
                raise NoPolicy("no policy is in force", remedy="`headwater policy apply`")
            return self._decider

    def _refresh(self) -> None:
        text = self._read()
        if text != self._text or self._decider is None:
            self._decider, self._text = None, ""  # a bundle that cannot be read lets nobody in
            if text:
                policy = policy_of(text)
                self._decider = Decider(policy, engine_of(self._settings, policy))
            self._text = text
        self._read_at = time.monotonic()
