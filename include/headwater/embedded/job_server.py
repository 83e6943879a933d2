"""One warm Python for batch jobs: it has imported everything, and forks for each job.

A job's imports (PySpark, PyIceberg, Great Expectations) cost 5 to 12 CPU-seconds, a fork costs nothing; a pipeline run
has about thirty jobs. The counterpart of the warm Spark Connect server, for the embedded stack alone.

Protocol, on a Unix socket that only this user can open: the client sends one JSON object {argv, cwd, env} with a file
descriptor for the job's output (argv is what stands behind `python`: a script's path, or `-m` and a module); the server
answers {"pid": …} and, when the job has ended, {"exit": code}. A client that hangs up ends its job: SIGTERM, and
SIGKILL to one that does not listen. When the code on disk has changed since it was imported, the server answers
{"stale": true} and starts itself anew.
"""

from __future__ import annotations

import gc
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from headwater.environment import extend_environment, replace_environment

PACKAGE = Path(__file__).resolve().parents[1]
MAX_REQUEST = 1 << 20
KILL_AFTER_SECONDS = 20.0
"""Longer than what a job takes to end its queries on the Spark server (`headwater.jobs.STOP_SECONDS`)."""


@dataclass(slots=True)
class Job:
    """A child at work: its pid, a descriptor that becomes readable when it ends, and the client that waits for it.

    `kill_at`: the moment of the monotonic clock when a job that was told to stop has had its time.
    """

    pid: int
    pidfd: int
    client: socket.socket
    kill_at: float | None = None


def import_everything() -> None:
    """Import what jobs import, before the first fork. Nothing here may start a thread or open a connection."""
    extend_environment({"OPENBLAS_NUM_THREADS": "1"})
    import confluent_kafka
    import great_expectations
    import pandas
    import pyspark.sql.connect.client
    import pyspark.sql.connect.session

    import headwater.contracts.quality
    import headwater.lake.catalog
    import headwater.lake.gold
    import headwater.lake.silver
    import headwater.streaming.commands
    import headwater.streaming.supervising
    import headwater.warehouse.loading  # noqa: F401
    from headwater.contracts.loader import load_contracts
    from headwater.settings import get_settings

    load_contracts(get_settings().contracts_dir)  # imports the validators
    get_settings.cache_clear()
    del confluent_kafka, great_expectations, pandas, pyspark
    gc.freeze()  # keeps the collector of a child from touching, and so copying, shared pages


def newest_source() -> float:
    """When the package's code was last changed, as seconds of the file system's clock."""
    return max(path.stat().st_mtime for path in PACKAGE.rglob("*.py"))


class JobServer:
    """Accepts requests and forks, in one thread."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        previous = os.umask(0o177)
        try:
            self.listener.bind(str(path))
        finally:
            os.umask(previous)
        self.listener.listen(16)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.jobs: dict[int, Job] = {}
        self.imported = newest_source()

    def serve(self) -> NoReturn:
        """Serve until killed."""
        while True:
            due = [job.kill_at for job in self.jobs.values() if job.kill_at is not None]
            for key, _ in self.selector.select(max(0.0, min(due) - time.monotonic()) if due else None):
                key.data()
            self._kill_the_deaf()

    def _kill_the_deaf(self) -> None:
        for job in self.jobs.values():
            if job.kill_at is not None and job.kill_at <= time.monotonic():
                job.kill_at = None
                os.killpg(job.pid, signal.SIGKILL)

    def _accept(self) -> None:
        client, _ = self.listener.accept()
        data, descriptors, _, _ = socket.recv_fds(client, MAX_REQUEST, 1)
        while data and not data.endswith(b"\n"):
            more = client.recv(MAX_REQUEST)
            data = data + more if more else b""
        if not data or not descriptors:  # a health check, or a client that gave up
            client.close()
            return
        if newest_source() > self.imported:
            _answer(client, {"stale": True})
            client.close()
            if not self.jobs:
                self._start_anew()
        else:
            self._fork(json.loads(data), descriptors[0], client)
        os.close(descriptors[0])

    def _fork(self, request: dict[str, Any], output: int, client: socket.socket) -> None:
        pid = os.fork()
        if pid == 0:
            self.selector.close()
            self.listener.close()
            client.close()
            _become_job(request, output)
        job = Job(pid, os.pidfd_open(pid), client)
        self.jobs[pid] = job
        self.selector.register(job.pidfd, selectors.EVENT_READ, lambda: self._ended(job))
        self.selector.register(client, selectors.EVENT_READ, lambda: self._hung_up(job))
        _answer(client, {"pid": pid})

    def _ended(self, job: Job) -> None:
        _, status = os.waitpid(job.pid, 0)
        self.selector.unregister(job.pidfd)
        if job.client.fileno() >= 0:
            self.selector.unregister(job.client)
            _answer(job.client, {"exit": os.waitstatus_to_exitcode(status)})
            job.client.close()
        os.close(job.pidfd)
        del self.jobs[job.pid]

    def _hung_up(self, job: Job) -> None:
        """The client is gone: its job is of no use to anybody."""
        if job.pid not in self.jobs:  # it ended at the same moment
            return
        self.selector.unregister(job.client)
        job.client.close()
        job.kill_at = time.monotonic() + KILL_AFTER_SECONDS
        try:
            os.killpg(job.pid, signal.SIGTERM)
        except ProcessLookupError:  # so young that it leads no group yet
            os.kill(job.pid, signal.SIGTERM)

    def _start_anew(self) -> NoReturn:
        os.execv(sys.executable, [sys.executable, "-m", "headwater.embedded.job_server", self.listener.getsockname()])  # noqa: S606 - itself


def _answer(client: socket.socket, message: dict[str, Any]) -> None:
    try:
        client.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        return  # it hung up; `_hung_up` ends the job


def _become_job(request: dict[str, Any], output: int) -> NoReturn:
    """In the child: take the request's place and run the script; never returns into the server."""
    code = 1
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)  # a line is seen when it is printed, in order with stderr's
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        replace_environment(request["env"])
        os.chdir(request["cwd"])
        _run(request["argv"])
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:  # noqa: BLE001 - the job's own process: told in full, and it ends
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(argv: list[str]) -> None:
    """As `python <argv>` does."""
    if argv[0] == "-m":
        sys.argv, sys.path[0] = argv[1:], str(Path.cwd())
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        return
    sys.argv, sys.path[0] = argv, str(Path(argv[0]).parent)
    runpy.run_path(argv[0], run_name="__main__")


def main() -> None:
    """`python -m headwater.embedded.job_server SOCKET`."""
    import_everything()
    JobServer(Path(sys.argv[1])).serve()


if __name__ == "__main__":
    main()
