"""`python -m headwater.cdc`: a Kafka Connect worker in this very process, for a container. `headwater up` has its own.

Runs until it is told to end. Listens on HEADWATER_BIND_HOST and HEADWATER_CONNECT_PORT; needs the files that the image
holds (groups kafka, connect, connect-avro, connect-debezium of the lock) and Java, and writes below HEADWATER_HOME.
"""

from __future__ import annotations

import os

from headwater.embedded import connect
from headwater.environment import child_environment
from headwater.settings import get_settings


def main() -> None:
    """Write what the worker reads, and become it."""
    settings = get_settings()
    connect.prepare(settings, settings.bind_host)
    (spec,) = connect.processes(settings)
    os.chdir(spec.directory or settings.home)
    os.execve(spec.command[0], spec.command, child_environment(spec.environment))  # noqa: S606  (our own command)


if __name__ == "__main__":
    main()
