"""What a running stream tells the world, for the supervisor and `stream status`: its lease's row holds it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from headwater.settings import Settings
from headwater.streaming.lease_rows import read_rows

ENDED = ("failed", "stopped", "finished", "fenced")
"""States from which nothing more comes."""
ENDS_KEPT = 1000
"""So many looks at the broker are remembered until bronze has caught up with them: half an hour."""


def streams_dir(settings: Settings) -> Path:
    """Folder of the streams' checkpoints, and of requests to the application of this home."""
    return settings.home / "streams"


def retry_file(settings: Settings, dataset: str) -> Path:
    """Where it is, the application is asked to try a stream that has ended once more (SIGHUP has it look)."""
    return streams_dir(settings) / f"{dataset}.retry"


@dataclass
class Heartbeat:
    """What one stream does.

    `state`: starting, running, waiting (registry), retrying, draining, failed, stopped, finished, fenced. `lag` is what
    the broker has beyond `offsets`, per partition; `lag_reason` says why it may be old. `stalled_since`: there is lag,
    and no progress since then. `complete_at`: bronze has all that the broker had at that time. Times are ISO 8601 in
    UTC.
    """

    dataset: str
    state: str = "starting"
    reason: str = ""
    pid: int = field(default_factory=os.getpid)
    create_time: float = field(default_factory=lambda: psutil.Process().create_time())
    application_id: str = ""
    started_at: str = field(default_factory=lambda: now())
    heartbeat_at: str = ""
    last_progress_at: str = ""
    stalled_since: str = ""
    complete_at: str = ""
    attempts: int = 0
    rows: int = 0
    snapshot_id: int | None = None
    batch_rows: int = 0
    batch_seconds: float = 0.0
    offsets: dict[int, int] = field(default_factory=dict)
    lag: dict[int, int] = field(default_factory=dict)
    lag_reason: str = ""
    live: dict[str, Any] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict, repr=False)
    awaited: list[tuple[str, dict[int, int]]] = field(default_factory=list, repr=False)

    def behind(self, ends: dict[int, int], asked: str) -> None:
        """Note what the broker had when it was `asked`, and whether the stream gets on with it."""
        self.lag = {partition: end - self.offsets.get(partition, 0) for partition, end in ends.items()}
        self.lag_reason = ""
        if not any(self.lag.values()):
            self.stalled_since = ""
        elif self.offsets != self.seen or not self.stalled_since:
            self.stalled_since = now()
        self.seen = dict(self.offsets)
        if len(self.awaited) < ENDS_KEPT:
            self.awaited.append((asked, dict(ends)))
        while self.awaited and self._has(self.awaited[0][1]):
            self.complete_at, _ = self.awaited.pop(0)

    def _has(self, ends: dict[int, int]) -> bool:
        return all(self.offsets.get(partition, 0) >= end for partition, end in ends.items())

    def facts(self) -> dict[str, Any]:
        """All of it but what is for itself."""
        return {name: value for name, value in asdict(self).items() if name not in ("seen", "awaited")}


def read_heartbeat(settings: Settings, dataset: str) -> dict[str, Any] | None:
    """The last heartbeat; None where the stream has never run. Raises `LeaseUnreachable`."""
    row = read_rows(settings, [dataset])[dataset]
    return {**row.report, "state": row.state, "reason": row.reason} if row.report else None


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
