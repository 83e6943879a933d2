"""The ClickHouse HTTP endpoint over chDB (`headwater.warehouse.embedded`), the engine in one process of its own."""

from __future__ import annotations

from importlib.util import find_spec

from headwater.embedded.health import http_body
from headwater.embedded.processes import python_command
from headwater.embedded.service import ProcessSpec, Service
from headwater.settings import LOOPBACK, Settings

MODULE = "headwater.warehouse.embedded"


def prepare(settings: Settings) -> None:
    """Make its folder."""
    (settings.home / "clickhouse").mkdir(parents=True, exist_ok=True)


def processes(settings: Settings) -> list[ProcessSpec]:
    """The one process of the endpoint. It finishes running inserts on SIGTERM."""
    return [
        ProcessSpec(
            name="clickhouse",
            command=python_command(MODULE),
            healthy=lambda: http_body(f"http://{LOOPBACK}:{settings.clickhouse_port}/ping") is not None,
            ports=(settings.clickhouse_port,),
            environment={"HEADWATER_PROJECT_DIR": str(settings.project_dir)},
            # Not in its data: chDB reads a config.xml of the working directory already when it is imported.
            directory=settings.home,
            grace_seconds=30,
        )
    ]


SERVICE = Service(
    name="clickhouse",
    title="ClickHouse endpoint over chDB",
    processes=processes,
    address=lambda settings: f"http://{settings.clickhouse_host}:{settings.clickhouse_port}",
    prepare=prepare,
    elsewhere=lambda settings: settings.clickhouse_host != LOOPBACK,
    absent=lambda settings: "" if find_spec(f"{MODULE}.__main__") else f"there is no module {MODULE}",
    data=lambda settings: [settings.home / "clickhouse"],
)
