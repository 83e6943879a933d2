"""What keeps the soak going while processes are killed: the repairs, the jobs, and a look at what all of it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

from bench import clicks
from headwater.embedded import processes
from headwater.embedded import stack as embedded
from headwater.errors import HeadwaterError, RetryableError
from headwater.settings import get_settings
from headwater.streaming import supervision

SERVICES = ("postgres", "kafka", "registry", "clickhouse")
VICTIMS = (*SERVICES, supervision.PROCESS)
REPAIR_SECONDS, LOOK_SECONDS, PAUSE_SECONDS = 2.0, 5.0, 2.0
START_SECONDS = 60.0
"""The stream may need longer; meanwhile something else may have died, and is seen to first."""
TRIED_SECONDS = 900.0
"""How long a command or a job is tried again while services die under it."""


@dataclass
class Supervisor:
    """Repairs what is down, by the means an operator has, every two seconds; remembers what it could not."""

    repairs: int = 0
    failures: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until asked to stop."""
        while not self._stopping.wait(REPAIR_SECONDS):
            if all(processes.find(get_settings(), name) for name in VICTIMS):
                continue
            try:
                embedded.up(SERVICES, lambda *_: None)
                supervision.start([clicks.NAME], wait_seconds=START_SECONDS)
                self.repairs += 1
            except Exception as error:  # noqa: BLE001  (the next round tries again; the result tells)
                self.failures.append(f"{type(error).__name__}: {error}"[:300])

    def stop(self) -> None:
        """Ask it to end after this round."""
        self._stopping.set()


@dataclass
class Meter:
    """Looks every few seconds at how much memory each process of the stack has."""

    begun: float = field(default_factory=time.monotonic)
    seen: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """Per process: after how many seconds, and MB."""
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until asked to stop."""
        while not self._stopping.wait(LOOK_SECONDS):
            for name in VICTIMS:
                with suppress(psutil.Error):  # it is being killed
                    if (running := processes.find(get_settings(), name)) is not None:
                        tree = [running.process, *running.process.children(recursive=True)]
                        size = sum(process.memory_info().rss for process in tree)
                        self.seen[name].append((time.monotonic() - self.begun, size / 1e6))

    def stop(self) -> None:
        """End it."""
        self._stopping.set()

    def megabytes(self) -> dict[str, dict[str, int]]:
        """Per process the median of the first and of the last third of its time, and the most it ever had."""
        return {name: _thirds(np.array(found)) for name, found in sorted(self.seen.items()) if len(found) > 2}


def _thirds(found: Any) -> dict[str, int]:
    moments, sizes = found[:, 0], found[:, 1]
    length = (moments[-1] - moments[0]) / 3
    early, late = sizes[moments <= moments[0] + length], sizes[moments >= moments[-1] - length]
    return {"first_third": round(np.median(early)), "last_third": round(np.median(late)), "most": round(sizes.max())}


def until_it_works(do: Callable[[], Any], stopping: threading.Event) -> tuple[Any, int]:
    """What it returns at last, and how often it had to be tried: services are being killed under it."""
    deadline = time.monotonic() + TRIED_SECONDS
    tries = 1
    while True:
        try:
            return do(), tries
        except HeadwaterError:
            if stopping.wait(PAUSE_SECONDS) or time.monotonic() > deadline:
                raise
            tries += 1


def job(name: str, *arguments: str) -> dict[str, Any]:
    """Run a job of the stream; what it printed last. Raises `RetryableError` with the end of its log."""
    settings = get_settings()
    command: Sequence[str] = [sys.executable, str(settings.project_dir / "spark_jobs" / f"{name}.py")]
    log = settings.logs_dir / f"{name}.log"
    with log.open("ab") as errors:
        done = subprocess.run(
            [*command, "--dataset", clicks.NAME, *arguments], stdout=subprocess.PIPE, stderr=errors, check=False
        )
    if done.returncode:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 2000))
            raise RetryableError(f"exit {done.returncode}: {file.read().decode(errors='replace')}", where=name)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told
