"""The MCP sidecar (`headwater.mcp`), which answers AI agents over HTTP with the warehouse's read-only user."""

from __future__ import annotations

from importlib.util import find_spec

from headwater.embedded.health import http_body
from headwater.embedded.policy import ensure_policy
from headwater.embedded.processes import python_command
from headwater.embedded.service import ProcessSpec, Service
from headwater.settings import LOOPBACK, Settings

MODULE = "headwater.mcp"


def processes(settings: Settings) -> list[ProcessSpec]:
    """The one process of the sidecar."""
    return [
        ProcessSpec(
            name="mcp",
            command=python_command(MODULE),
            healthy=lambda: http_body(f"http://{LOOPBACK}:{settings.mcp_port}/health") is not None,
            ports=(settings.mcp_port,),
            directory=settings.project_dir,
        )
    ]


SERVICE = Service(
    name="mcp",
    title="MCP sidecar",
    processes=processes,
    prepare=ensure_policy,
    address=lambda settings: f"http://{LOOPBACK}:{settings.mcp_port}/mcp",
    needs=("postgres", "clickhouse"),
    absent=lambda settings: "" if find_spec(f"{MODULE}.__main__") else f"there is no module {MODULE}",
)
