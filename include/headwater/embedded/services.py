"""All services of the stack, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Iterable

from headwater.embedded import airflow, api, clickhouse, connect, jobs, kafka, mcp, postgres, processes, registry, spark
from headwater.embedded.service import Service
from headwater.errors import ConfigurationError
from headwater.settings import Settings

SERVICES: dict[str, Service] = {
    module.SERVICE.name: module.SERVICE
    for module in (postgres, kafka, registry, clickhouse, connect, spark, jobs, airflow, mcp, api)
}


def named(names: Iterable[str]) -> list[Service]:
    """These services and all they need, in order; every service when none is named."""
    wanted = set(names) or set(SERVICES)
    unknown = wanted - set(SERVICES)
    if unknown:
        raise ConfigurationError(
            f"no such service: {', '.join(sorted(unknown))}", remedy=f"one of {', '.join(SERVICES)}"
        )
    while True:
        needed = {need for name in wanted for need in SERVICES[name].needs} - wanted
        if not needed:
            return [service for service in SERVICES.values() if service.name in wanted]
        wanted |= needed


def unneeded(settings: Settings, service: Service) -> str:
    """Why `up` leaves the service out unless it is named, or nothing. What was started once is kept, and repaired."""
    started = any(processes.pid_file(settings, spec.name).exists() for spec in service.processes(settings))
    return "" if started else service.idle(settings)
