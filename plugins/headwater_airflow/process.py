"""Run a command as a task: its output becomes the task's log, its last JSON line the task's result.

The command runs in a process group of its own, so that clearing or timing out a task ends all it started.
Exit codes follow `headwater.jobs`: 0 done, 65 it can't work until somebody changes something (the task fails without
another try), anything else may pass (the task is tried again).
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

log = logging.getLogger(__name__)

EXIT_TERMINAL = 65  # EX_DATAERR of sysexits.h; headwater.jobs.EXIT_TERMINAL
KILL_AFTER_SECONDS = 20


class Command:
    """One command, from start to result; `run` and `kill` may be called from different threads."""

    def __init__(self, argv: Sequence[str], *, cwd: str) -> None:
        self.argv = list(argv)
        self.cwd = cwd
        self.last = ""

    def run(self) -> dict[str, Any] | list[Any] | None:
        """Run to the end and return the last line if it is a JSON object or list.

        Raises `AirflowFailException` (no retry) for a terminal error, `AirflowException` for every other failure.
        """
        code = self._execute()
        if code:
            error = AirflowFailException if code == EXIT_TERMINAL else AirflowException
            raise error(f"{' '.join(self.argv)} ended with exit code {code}: {self.last}")
        return _json_value(self.last)

    def kill(self) -> None:
        """End what runs."""
        raise NotImplementedError

    def _execute(self) -> int:
        raise NotImplementedError

    def _on_line(self, line: str) -> None:
        if line:
            log.info(line)
            self.last = line


class ProcessCommand(Command):
    """A command as a process of its own, with all it starts in one process group."""

    _process: subprocess.Popen[str] | None = None

    def _execute(self) -> int:
        self._process = subprocess.Popen(
            [sys.executable, *self.argv],
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self._on_line(line.rstrip())
        return self._process.wait()

    def kill(self) -> None:
        """End the process group: SIGTERM first, SIGKILL when it does not listen."""
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(timeout=KILL_AFTER_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)


class JobCommand(ProcessCommand):
    """A job of `spark_jobs/`, or a `headwater` command: forked from the warm job server where one serves."""

    _warm: Any = None

    def _execute(self) -> int:
        from headwater.embedded.job_client import WarmJob
        from headwater.environment import child_environment
        from headwater.settings import get_settings

        self._warm = WarmJob.connect(get_settings())
        if self._warm is not None:
            code = self._warm.run(self.argv, cwd=self.cwd, env=child_environment({}), on_line=self._on_line)
            if code is not None:
                return int(code)
            self._warm = None
        log.info("no warm job server (`headwater up jobs` starts it); starting Python for this job")
        return super()._execute()

    def kill(self) -> None:
        """End the job."""
        if self._warm is not None:
            self._warm.kill()
        else:
            super().kill()


def _json_value(line: str) -> dict[str, Any] | list[Any] | None:
    """The line as a JSON object or list, or None where it is something else."""
    if not line.startswith(("{", "[")):
        return None
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
