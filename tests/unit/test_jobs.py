"""How a job begins and ends: its range of dates, its exit code, its last line; and that all jobs are of one shape."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

JOBS = sorted((Path(__file__).resolve().parents[2] / "spark_jobs").glob("*.py"))
SCRIPT = """
import os, signal, sys
from headwater.errors import RetryableError, TerminalError
from headwater.jobs import add_date_range, job_parser, run_job

def main(arguments):
    {body}
    return {{"rows": 3, "from": arguments.start, "to": arguments.end}}

parser = job_parser("A job.")
add_date_range(parser, "build")
run_job(parser, main)
"""


def run(body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT.format(body=body), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_last_line_is_what_was_done() -> None:
    answer = run("print('working')", "--from", "2017-01-01", "--to", "2017-01-02")
    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout.splitlines()[-1])
    assert result.pop("seconds") >= 0
    assert result == {"rows": 3, "from": "2017-01-01", "to": "2017-01-02"}


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ("raise TerminalError('wrong', where='here', remedy='mend it')", 65, "mend it"),
        ("raise RetryableError('busy', where='here')", 75, "busy"),
        ("1 / 0", 75, "Traceback"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, "told to stop"),
    ],
)
def test_the_exit_code_says_whether_trying_again_can_help(body: str, code: int, told: str) -> None:
    answer = run(body)
    assert answer.returncode == code, answer.stderr
    assert told in answer.stderr
    assert answer.stdout == ""


def test_a_job_that_does_not_end_when_told_to_is_ended_by_the_system() -> None:
    body = "import headwater.jobs; headwater.jobs.STOP_SECONDS = 1\n    try:\n        os.kill(os.getpid(), 15)\n"
    body += "    finally:\n        signal.pause()"
    assert run(body).returncode == -signal.SIGALRM


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "2017-01-01"], "both ends"),
        (["--to", "2017-01-01"], "both ends"),
        (["--from", "2017-01-02", "--to", "2017-01-02"], "is empty"),
    ],
)
def test_half_a_range_and_an_empty_one_are_refused(arguments: list[str], told: str) -> None:
    answer = run("pass", *arguments)
    assert answer.returncode == 65
    assert told in answer.stderr


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_every_job_is_of_one_shape(path: Path) -> None:
    module = ast.parse(path.read_text())
    functions = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
    assert functions[:2] == ["parser", "main"]
    assert ast.unparse(module.body[-1]) == "if __name__ == '__main__':\n    run_job(parser(), main)"
    assert f"`python spark_jobs/{path.name} " in (ast.get_docstring(module) or "")
