"""What a part of the benchmark gives back, and what it is given."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Measurement:
    """One line of the report. `cpu_seconds` is of the processes that did the work, not of the broker."""

    what: str
    rows: int
    seconds: float
    cpu_seconds: float | None = None
    at_least: float | None = None  # rows per second to reach
    cpu_at_most: float | None = None  # CPU-seconds per million rows to keep
    passed: bool | None = None  # for targets of another kind; else it follows from the two above
    notes: dict[str, Any] = field(default_factory=dict)  # e.g. percentiles, share of the roofline

    @property
    def rows_per_second(self) -> float:
        """Rows over wall time."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def cpu_per_million(self) -> float | None:
        """CPU-seconds per million rows."""
        return self.cpu_seconds / self.rows * MILLION if self.cpu_seconds is not None and self.rows else None

    @property
    def reached(self) -> bool | None:
        """Whether the targets are met; None where there are none."""
        checks = [self.passed] if self.passed is not None else []
        if self.at_least is not None:
            checks.append(self.rows_per_second >= self.at_least)
        if self.cpu_at_most is not None and self.cpu_per_million is not None:
            checks.append(self.cpu_per_million <= self.cpu_at_most)
        return all(checks) if checks else None

    def as_dict(self) -> dict[str, Any]:
        """All of it for the JSON file."""
        cpu = self.cpu_per_million
        return asdict(self) | {
            "rows_per_second": round(self.rows_per_second),
            "cpu_seconds_per_million": round(cpu, 2) if cpu is not None else None,
            "reached": self.reached,
        }


@dataclass(slots=True)
class Timing:
    """Filled when the block of `timed()` or `timed_tree()` ends."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def of(self, what: str, rows: int, **notes: Any) -> Measurement:
        """A line of the report for these rows."""
        return Measurement(what, rows, self.seconds, self.cpu_seconds, notes=notes)


@contextmanager
def timed_tree() -> Iterator[Timing]:
    """Wall and CPU seconds of this process and its children (the JVM of a Spark in this process) in the block."""
    timing = Timing()
    wall, cpu = time.perf_counter(), _tree_cpu()
    yield timing
    timing.seconds = time.perf_counter() - wall
    timing.cpu_seconds = _tree_cpu() - cpu


def _tree_cpu() -> float:
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return float(sum(t.user + t.system for t in times))


@contextmanager
def timed() -> Iterator[Timing]:
    """Wall and CPU seconds of this process (all threads) in the block."""
    timing = Timing()
    wall, cpu = time.perf_counter(), time.process_time()
    yield timing
    timing.seconds = time.perf_counter() - wall
    timing.cpu_seconds = time.process_time() - cpu
