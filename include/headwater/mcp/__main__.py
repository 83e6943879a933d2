"""Run the MCP sidecar: `python -m headwater.mcp [--transport http|stdio]`.

Over HTTP it serves `/mcp` (stateless, JSON answers) and `/health` on the settings' `mcp_port`; over stdio it speaks to
the program that started it.
"""

from __future__ import annotations

import argparse

from headwater.mcp.server import build_server
from headwater.settings import get_settings


def main() -> None:
    """Parse the transport and serve until stopped."""
    parser = argparse.ArgumentParser(prog="headwater.mcp", description=__doc__)
    parser.add_argument("--transport", choices=("http", "stdio"), default="http")
    arguments = parser.parse_args()
    settings = get_settings()
    server = build_server(settings)
    if arguments.transport == "stdio":
        server.run(transport="stdio", show_banner=False)
    else:
        server.run(
            transport="http",
            host=settings.bind_host,
            port=settings.mcp_port,
            path="/mcp",
            stateless_http=True,
            json_response=True,
            show_banner=False,
        )


if __name__ == "__main__":
    main()
