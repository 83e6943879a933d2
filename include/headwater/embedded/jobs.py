"""The warm Python that batch jobs are forked from (`headwater.embedded.job_server`)."""

from __future__ import annotations

from headwater.embedded.job_client import WarmJob, socket_path
from headwater.embedded.processes import python_command
from headwater.embedded.service import ProcessSpec, Service
from headwater.settings import Settings

MODULE = "headwater.embedded.job_server"


def processes(settings: Settings) -> list[ProcessSpec]:
    """The one process of the server."""
    return [
        ProcessSpec(
            name="jobs",
            command=(*python_command(MODULE), str(socket_path(settings))),
            healthy=lambda: healthy(settings),
            directory=settings.project_dir,
        )
    ]


def healthy(settings: Settings) -> bool:
    """Whether the server accepts connections."""
    job = WarmJob.connect(settings)
    if job is None:
        return False
    job.close()
    return True


def absent(settings: Settings) -> str:
    """Why there is none: a Unix socket's path must be short."""
    return "" if socket_path(settings) else f"the path of {settings.home} is too long for a socket; jobs start cold"


SERVICE = Service(
    name="jobs",
    title="Warm Python for batch jobs",
    processes=processes,
    address=lambda settings: str(socket_path(settings) or ""),
    absent=absent,
    data=lambda settings: [path for path in [socket_path(settings)] if path],
)
