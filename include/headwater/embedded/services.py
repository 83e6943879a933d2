"""All services of the stack, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Iterable

from headwater.embedded import airflow, api, clickhouse, jobs, kafka, mcp, postgres, registry, spark
from headwater.embedded.service import Service
from headwater.errors import ConfigurationError

SERVICES: dict[str, Service] = {
    module.SERVICE.name: module.SERVICE
    for module in (postgres, kafka, registry, clickhouse, spark, jobs, airflow, mcp, api)
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
