"""What can go wrong with the embedded stack."""

from __future__ import annotations

from headwater.errors import RetryableError, TerminalError


class PortTaken(TerminalError):
    """A port of the stack is held by a process that is not ours."""


class NoJava(TerminalError):
    """Neither a Java 17 or 21 was found, nor could one be brought."""


class DiskFull(TerminalError):
    """Too little space for the stack's data or downloads."""


class DownloadRefused(TerminalError):
    """A downloaded file is not the one in the lock."""


class DownloadFailed(RetryableError):
    """The files could not be fetched."""


class StartFailed(RetryableError):
    """A service ended, or did not answer in time, while it was started."""


class NotInstalled(TerminalError):
    """A package of the extra `embedded` is missing."""
