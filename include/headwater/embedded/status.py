"""What runs: for `headwater status` and for whoever wants to know whether a service serves."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

from headwater.embedded import processes
from headwater.embedded.service import ProcessSpec, Service
from headwater.embedded.services import named, unneeded
from headwater.settings import Settings


@dataclass(frozen=True)
class ProcessStatus:
    """One process: `state` is healthy, mute (runs, but does not answer) or stopped; bytes include its children."""

    name: str
    state: str
    pid: int | None = None
    ports: list[int] = field(default_factory=list)
    uptime_seconds: float = 0.0
    rss_bytes: int = 0
    resident_bytes: int = 0
    """Resident memory with shared pages counted once (PSS) where the system tells it, else the same as `rss_bytes`."""


@dataclass(frozen=True)
class ServiceStatus:
    """One service; `state` is the worst of its processes, or `elsewhere` or `left out`."""

    name: str
    title: str
    state: str
    address: str
    processes: list[ProcessStatus]

    @property
    def resident_bytes(self) -> int:
        """Resident memory of all its processes."""
        return sum(process.resident_bytes for process in self.processes)

    @property
    def good(self) -> bool:
        """Whether nothing needs to be done about it."""
        return self.state in ("healthy", "elsewhere", "left out")

    def as_json(self) -> dict[str, Any]:
        """Plain data, for `status --json`."""
        return asdict(self) | {"resident_bytes": self.resident_bytes}


def status(settings: Settings, names: Iterable[str] = ()) -> list[ServiceStatus]:
    """The state of these services, or of all; looks only, and changes nothing."""
    services = named(names) if names else named([])
    marked = processes.belonging(settings)
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda service: _service(settings, service, marked), services))


def _service(settings: Settings, service: Service, marked: dict[str, list[psutil.Process]]) -> ServiceStatus:
    address = service.address(settings)
    left_out = service.absent(settings) or unneeded(settings, service)
    for state, applies in (("elsewhere", service.elsewhere(settings)), ("left out", bool(left_out))):
        if applies:
            return ServiceStatus(service.name, service.title, state, address, [])
    found = [_process(settings, spec, marked.get(spec.name, [])) for spec in service.processes(settings)]
    states = {process.state for process in found}
    worst = next(state for state in ("stopped", "mute", "healthy") if state in states)
    return ServiceStatus(service.name, service.title, worst, address, found)


def _process(settings: Settings, spec: ProcessSpec, marked: list[psutil.Process]) -> ProcessStatus:
    running = processes.find(settings, spec.name)
    if running is None:
        return ProcessStatus(spec.name, "stopped", ports=list(spec.ports))
    family = {process.pid: process for process in [running.process, *marked, *processes.descendants(running.process)]}
    memory = [_memory(process) for process in family.values()]
    return ProcessStatus(
        spec.name,
        "healthy" if spec.healthy() else "mute",
        running.pid,
        list(spec.ports),
        time.time() - running.process.create_time(),
        sum(rss for rss, _ in memory),
        sum(resident for _, resident in memory),
    )


def _memory(process: psutil.Process) -> tuple[int, int]:
    """RSS and PSS of one process in bytes; of a process that just ended, nothing."""
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        rss = int(process.memory_info().rss)
        with suppress(psutil.AccessDenied, AttributeError):
            return rss, int(process.memory_full_info().pss)
        return rss, rss
    return 0, 0
