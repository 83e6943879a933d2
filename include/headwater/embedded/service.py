"""What a service of the stack is: its processes, what it needs, and how one knows that it serves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headwater.settings import Settings


def _nothing(settings: Settings) -> None:
    """For services that have nothing to prepare or to settle."""


def _present(settings: Settings) -> str:
    """For services whose code is always there, or that are always needed."""
    return ""


def _never(settings: Settings) -> bool:
    """For services that are always the embedded ones."""
    return False


@dataclass(frozen=True)
class ProcessSpec:
    """One operating-system process: how it starts, and when it may be called healthy.

    `healthy` is the service's own health check; it answers False as long as the process does not serve, and raises
    only where waiting cannot help.
    """

    name: str
    command: tuple[str, ...]
    healthy: Callable[[], bool]
    ports: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 20.0
    start_seconds: float = 300.0
    owns_directory: bool = False
    """Every process whose working directory is `directory` belongs to it (Postgres hides its environment)."""
    leaves_children: bool = False
    """What it has started is to outlive it: it is ended alone."""


@dataclass(frozen=True)
class Service:
    """A service of the stack.

    `prepare` runs before the processes start and `settle` once they are healthy; both are repeatable.
    `elsewhere` says that the settings point to a server of the user's own, so that the embedded one is not started.
    """

    name: str
    title: str
    processes: Callable[[Settings], list[ProcessSpec]]
    address: Callable[[Settings], str]
    prepare: Callable[[Settings], None] = _nothing
    settle: Callable[[Settings], None] = _nothing
    absent: Callable[[Settings], str] = _present
    """Why the service cannot be started here, or nothing."""
    idle: Callable[[Settings], str] = _present
    """Why nobody needs it now, so that `up` starts it only by name; or nothing."""
    needs: tuple[str, ...] = ()
    downloads: tuple[str, ...] = ()
    java: bool = False
    elsewhere: Callable[[Settings], bool] = _never
    data: Callable[[Settings], list[Path]] = lambda settings: []
    """What `down --wipe` removes."""
