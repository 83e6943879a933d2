"""When what was started again may be started again: after pauses that double. For streams and for connectors."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from headwater.settings import Settings

LONGEST_PAUSE_SECONDS = 1800.0


class Restarted(Protocol):
    """A row that counts restarts; `now` is Postgres's clock when it was read."""

    @property
    def restarts(self) -> int:
        """How often it was started again since it last was well."""

    @property
    def restart_due(self) -> datetime | None:
        """Not before this."""

    @property
    def now(self) -> datetime:
        """When the row was read."""


def postponed(row: Restarted) -> str:
    """Why a restart has to wait; empty where it is due."""
    if row.restart_due is None or row.restart_due <= row.now:
        return ""
    return f"restarted {row.restarts} times; the next is due at {row.restart_due:%H:%M:%S} UTC"


def pause_after(row: Restarted, settings: Settings) -> timedelta:
    """How long the restart after the one that is due now has to wait: twice as long each time."""
    return timedelta(seconds=min(settings.stream_restart_pause_seconds * 2**row.restarts, LONGEST_PAUSE_SECONDS))
