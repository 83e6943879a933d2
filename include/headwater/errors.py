"""The errors of the platform.

Every error says what went wrong, where, and what to do about it, and whether trying again can help.
Modules that need a narrower type derive it from `RetryableError` or `TerminalError`.
"""

from __future__ import annotations


class HeadwaterError(Exception):
    """Base of all errors the platform raises on purpose.

    `what` is the fault in one sentence, `where` the place (file and line, table, topic-partition-offset,
    service), `remedy` what the reader can do. All three are printed; none may hold a secret.
    """

    retryable: bool = False

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} → {self.remedy}" if self.remedy else text


class RetryableError(HeadwaterError):
    """A condition that passes: a service that restarts, a conflict, a time-out."""

    retryable = True


class TerminalError(HeadwaterError):
    """A condition that stays until somebody changes something."""


class ConfigurationError(TerminalError):
    """A setting is missing, contradicts another, or cannot be used here."""


class ContractError(TerminalError):
    """A contract is wrong, or asks for what a target cannot give."""
