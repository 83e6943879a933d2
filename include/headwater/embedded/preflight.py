"""What can be known before anything is started: ports and disk. Told at once, with the remedy."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from headwater.embedded import downloads, processes
from headwater.embedded.errors import DiskFull, PortTaken
from headwater.embedded.health import is_free
from headwater.embedded.service import Service
from headwater.settings import Settings

GB = 1024**3


def check_ports(settings: Settings, services: Iterable[Service]) -> None:
    """Raise PortTaken, naming every port of a service that does not run yet and that somebody else holds."""
    taken = []
    for service in services:
        for spec in service.processes(settings):
            if processes.find(settings, spec.name) or processes.strays(settings, spec):
                continue
            taken += [f"{port} ({spec.name}; held by {holder(port)})" for port in spec.ports if not is_free(port)]
    if taken:
        raise PortTaken(
            f"ports are taken: {', '.join(taken)}",
            where=f"port_base {settings.port_base}",
            remedy="stop what holds them, or set HEADWATER_PORT_BASE (all ports) or HEADWATER_<SERVICE>_PORT (one)",
        )


def holder(port: int) -> str:
    """Who listens on the port, as far as this user may know."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:] == (port,)
            if listens and connection.pid:
                with suppress(psutil.Error):
                    return f"pid {connection.pid}, {psutil.Process(connection.pid).name()}"
    return "an unknown process"


def check_disk(settings: Settings, services: Iterable[Service]) -> None:
    """Raise DiskFull where the home has less free space than `min_free_disk_gb`, or the downloads would not fit."""
    need = int(settings.min_free_disk_gb * GB)
    files = downloads.missing(settings, {group for service in services for group in service.downloads})
    # Ivy keeps a copy until all have come, and the registry is unpacked.
    fetch = 3 * sum(file.size for file in files)
    for path, bytes_needed in ((settings.home, need), (settings.downloads_dir, fetch)):
        free = shutil.disk_usage(existing(path)).free
        if free < bytes_needed:
            raise DiskFull(
                f"{free / GB:.1f} GB are free, {bytes_needed / GB:.1f} GB are needed",
                where=str(path),
                remedy="free some space, or set HEADWATER_HOME (data) or HEADWATER_DOWNLOADS_DIR to a larger disk",
            )


def existing(path: Path) -> Path:
    """The path itself, or the nearest directory above it that is there."""
    return next(parent for parent in (path, *path.parents) if parent.exists())
