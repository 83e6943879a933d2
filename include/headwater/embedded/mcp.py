"""The MCP sidecar (`headwater.mcp`), which answers AI agents over HTTP with the warehouse's read-only user."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from headwater.embedded.health import http_body
from headwater.embedded.processes import python_command
from headwater.embedded.service import ProcessSpec, Service
from headwater.settings import LOOPBACK, Settings

log = logging.getLogger(__name__)

MODULE = "headwater.mcp"


def prepare(settings: Settings) -> None:
    """Put the policy of the files in force if none is yet: later changes are `headwater policy apply`'s.

    Only on the embedded endpoint: nobody's own server gets users and grants without being asked.
    """
    from headwater.audit.by_command import on_record
    from headwater.contracts.loader import load_contracts
    from headwater.identity.kept_secrets import mask_key
    from headwater.policy import applying
    from headwater.policy.loader import load_policy
    from headwater.warehouse.client import explained, writer

    client = writer()
    try:
        with explained("the policy's views"):
            if not applying.is_embedded(client):
                if applying.applied(client) is None:
                    log.warning("no policy is in force on %s: `headwater policy apply`", settings.clickhouse_host)
                return
            if applying.applied(client) is None:
                contracts = load_contracts(settings.contracts_dir)
                policy = load_policy(settings.policies_dir, contracts)
                with on_record("policy.apply", policy.version, policy_version=policy.version):
                    applying.apply(client, policy, contracts, embedded=True, mask_key=lambda: mask_key(settings))
    finally:
        client.close()


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
    prepare=prepare,
    address=lambda settings: f"http://{LOOPBACK}:{settings.mcp_port}/mcp",
    needs=("postgres", "clickhouse"),
    absent=lambda settings: "" if find_spec(f"{MODULE}.__main__") else f"there is no module {MODULE}",
)
