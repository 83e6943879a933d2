"""Run the MCP sidecar: `python -m headwater.mcp [--transport http|stdio] [--server all|data|metadata|query|lineage]`.

Over HTTP it serves all servers on the settings' `mcp_port`, in as many processes as `mcp_workers` says; over stdio it
speaks to the program that started it, as the settings' agent.
"""

from __future__ import annotations

import argparse

from headwater.settings import get_settings

SERVERS = ("all", "data", "metadata", "query", "lineage")


def main() -> None:
    """Parse the transport and serve until stopped."""
    parser = argparse.ArgumentParser(prog="headwater.mcp", description=__doc__)
    parser.add_argument("--transport", choices=("http", "stdio"), default="http")
    parser.add_argument("--server", choices=SERVERS, default="all", help="over stdio: whose tools")
    arguments = parser.parse_args()
    if arguments.transport == "stdio":
        from headwater.mcp.server import build_servers
        from headwater.mcp.sidecar import Sidecar

        build_servers(Sidecar(get_settings()))[arguments.server].run(transport="stdio", show_banner=False)
    else:
        serve()


def serve() -> None:
    """Serve over HTTP."""
    import uvicorn

    settings = get_settings()
    uvicorn.run(
        "headwater.mcp.__main__:app",
        factory=True,
        host=settings.bind_host,
        port=settings.mcp_port,
        workers=settings.mcp_workers,
        log_level="warning",
        access_log=False,
    )


def app() -> object:
    """The application, made in each process."""
    from headwater.mcp.http import build_app

    return build_app(get_settings())


if __name__ == "__main__":
    main()
