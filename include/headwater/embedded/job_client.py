"""Run a job of `spark_jobs/` on the warm job server, if there is one."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from headwater.errors import RetryableError
from headwater.settings import Settings

MAX_SOCKET_PATH = 107
"""Bytes of a Unix socket's path that Linux allows."""


def socket_path(settings: Settings) -> Path | None:
    """Where the server listens; None where the home's path is too long for a socket."""
    path = settings.home / "jobs.sock"
    return path if len(os.fsencode(path)) <= MAX_SOCKET_PATH else None


class WarmJob:
    """One job on the server, from start to exit code."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    @classmethod
    def connect(cls, settings: Settings) -> WarmJob | None:
        """A connection to the server; None where none listens."""
        path = socket_path(settings)
        if path is None:
            return None
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            return None
        return cls(connection)

    def run(
        self, argv: Sequence[str], *, cwd: str, env: Mapping[str, str], on_line: Callable[[str], None]
    ) -> int | None:
        """Run to the end, handing each line of output to `on_line`; the exit code, or None where the server is stale.

        Raises `RetryableError` where the server went away while the job ran.
        """
        reading, writing = os.pipe()
        request = json.dumps({"argv": list(argv), "cwd": cwd, "env": dict(env)}).encode() + b"\n"
        try:
            socket.send_fds(self._connection, [request], [writing])
        finally:
            os.close(writing)
        with self._connection.makefile("r") as answers, os.fdopen(reading, errors="replace") as output:
            first = json.loads(answers.readline() or "{}")
            if first.get("stale"):
                return None
            for line in output:
                on_line(line.rstrip())
            last = json.loads(answers.readline() or "{}")
        if "exit" not in last:
            raise RetryableError("the job server went away", where=argv[0], remedy="run the task again")
        return int(last["exit"])

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def kill(self) -> None:
        """End the job: the server does it when this side hangs up."""
        self._connection.shutdown(socket.SHUT_RDWR)
