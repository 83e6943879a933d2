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
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

log = logging.getLogger(__name__)

EXIT_TERMINAL = 65  # EX_DATAERR of sysexits.h; headwater.jobs.EXIT_TERMINAL
KILL_AFTER_SECONDS = 20


class CommandProcess:
    """One command, from start to result."""

    def __init__(self, command: Sequence[str], *, cwd: str, env: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self.cwd = cwd
        self.env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[str] | None = None

    def run(self) -> dict[str, Any] | None:
        """Run to the end and return the last line if it is a JSON object.

        Raises `AirflowFailException` (no retry) for a terminal error, `AirflowException` for every other failure.
        """
        self._process = subprocess.Popen(
            self.command,
            cwd=self.cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - for the type checker: PIPE was asked for
        last = ""
        for line in self._process.stdout:
            if text := line.rstrip():
                log.info(text)
                last = text
        code = self._process.wait()
        if code:
            error = AirflowFailException if code == EXIT_TERMINAL else AirflowException
            raise error(f"{' '.join(self.command[1:])} ended with exit code {code}: {last}")
        return _json_object(last)

    def kill(self) -> None:
        """End the whole process group: SIGTERM first, SIGKILL when it does not listen."""
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(timeout=KILL_AFTER_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)


def _json_object(line: str) -> dict[str, Any] | None:
    """The line as a JSON object, or None where it is something else."""
    if not line.startswith("{"):
        return None
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
