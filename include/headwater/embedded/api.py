"""The API (`headwater.api`): it takes events, and answers questions about the data as the asker may see it."""

from __future__ import annotations

from importlib.util import find_spec

from headwater.embedded.health import http_body
from headwater.embedded.policy import ensure_policy
from headwater.embedded.processes import python_command
from headwater.embedded.service import ProcessSpec, Service
from headwater.settings import LOOPBACK, Settings

MODULE = "headwater.api"
LIBRARIES = ("fastapi", "uvicorn", "strawberry")
FLUSH_SECONDS = 15.0
"""On top of the broker's time: what waits for it when the server is told to stop gets its answer."""


def processes(settings: Settings) -> list[ProcessSpec]:
    """The one process of the API."""
    return [
        ProcessSpec(
            name="api",
            command=python_command(MODULE),
            healthy=lambda: http_body(f"http://{LOOPBACK}:{settings.api_port}/health") is not None,
            ports=(settings.api_port,),
            directory=settings.project_dir,
            grace_seconds=settings.api_ack_seconds + FLUSH_SECONDS,
        )
    ]


def absent(settings: Settings) -> str:
    """Which library it lacks, if any."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    return f"not installed: {', '.join(missing)} (the extra `api`)" if missing else ""


SERVICE = Service(
    name="api",
    title="API",
    processes=processes,
    prepare=ensure_policy,
    address=lambda settings: f"http://{LOOPBACK}:{settings.api_port}/docs",
    needs=("postgres", "kafka", "registry", "clickhouse"),
    absent=absent,
)
