"""What a running stream tells the world: one small JSON file per dataset, for the supervisor and `stream status`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from headwater.settings import Settings


def streams_dir(settings: Settings) -> Path:
    """Folder of the streams' heartbeats and checkpoints."""
    return settings.home / "streams"


def heartbeat_file(settings: Settings, dataset: str) -> Path:
    """The dataset's heartbeat."""
    return streams_dir(settings) / f"{dataset}.json"


def retry_file(settings: Settings, dataset: str) -> Path:
    """Where it is, the application is asked to try a stream that has failed once more (SIGHUP has it look)."""
    return streams_dir(settings) / f"{dataset}.retry"


@dataclass
class Heartbeat:
    """State of one stream. `state`: starting, running, waiting (registry), retrying, failed, stopped, finished.

    `lag` is what the broker has beyond `offsets`, per partition; `lag_reason` says why it may be old. Times are
    ISO 8601 in UTC.
    """

    dataset: str
    state: str = "starting"
    reason: str = ""
    pid: int = field(default_factory=os.getpid)
    create_time: float = field(default_factory=lambda: psutil.Process().create_time())
    started_at: str = field(default_factory=lambda: now())
    heartbeat_at: str = ""
    last_progress_at: str = ""
    attempts: int = 0
    rows: int = 0
    snapshot_id: int | None = None
    batch_rows: int = 0
    batch_seconds: float = 0.0
    offsets: dict[int, int] = field(default_factory=dict)
    lag: dict[int, int] = field(default_factory=dict)
    lag_reason: str = ""
    live: dict[str, Any] = field(default_factory=dict)

    def write(self, settings: Settings) -> None:
        """Replace the file, whole."""
        self.heartbeat_at = now()
        target = heartbeat_file(settings, self.dataset)
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=1, sort_keys=True))
        new.replace(target)


def read_heartbeat(settings: Settings, dataset: str) -> dict[str, Any] | None:
    """The last heartbeat; None where the stream has never run here."""
    try:
        found: dict[str, Any] = json.loads(heartbeat_file(settings, dataset).read_text())
    except FileNotFoundError:
        return None
    return found


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
