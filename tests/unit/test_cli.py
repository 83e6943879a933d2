"""The command line: quick to list, and errors without tracebacks."""

import os
import subprocess
import sys

import pytest

from headwater.cli import COMMANDS

HEADWATER = [sys.executable, "-m", "headwater.cli"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **environment}
    return subprocess.run([*HEADWATER, *arguments], capture_output=True, text=True, env=environment, timeout=60)


def test_help_lists_every_command_and_imports_none_of_them():
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "headwater.cli", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0
    assert [name for name in COMMANDS if name not in answer.stdout] == []
    imported = {
        line.rsplit("|", 1)[-1].strip() for line in answer.stderr.splitlines() if line.startswith("import time:")
    }
    heavy = (
        "pyspark",
        "airflow",
        "pyarrow",
        "confluent_kafka",
        "pydantic",
        "chdb",
        "headwater.embedded",
        "headwater.settings",
    )
    assert "headwater.errors" in imported
    assert [name for name in imported if name.startswith(heavy)] == []


def test_an_error_says_what_and_what_to_do_without_a_traceback(tmp_path):
    answer = run("up", "kafak", HEADWATER_HOME=str(tmp_path))
    assert answer.returncode == 1
    assert "no such service: kafak → one of postgres" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_unknown_command_is_a_usage_error():
    answer = run("upp")
    assert answer.returncode == 2
    assert "No such command" in answer.stderr


@pytest.mark.parametrize("verb", ["up", "down", "status", "logs", "doctor"])
def test_each_verb_of_the_stack_has_help(verb):
    answer = run(verb, "--help")
    assert answer.returncode == 0, answer.stderr
