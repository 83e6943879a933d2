"""Fault 8: the stream process is killed. Restarted by the supervisor within two of the DAG's runs; the DAG shows it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import environment
from tests.faults.supervised import kill_application
from tests.streams import StreamCase, await_rows, await_that, own_project, stream_case

from headwater.settings import Settings
from headwater.streaming import supervision

pytestmark = [pytest.mark.integration, pytest.mark.fault]


@pytest.fixture
def case(stack: Settings, tmp_path: Path) -> Iterator[StreamCase]:
    made = stream_case(stack)
    own_project(made, tmp_path)
    with environment(HEADWATER_PROJECT_DIR=str(tmp_path), HEADWATER_HOME=str(stack.home)):
        try:
            yield made
        finally:
            supervision.stop()


def test_a_killed_stream_is_restarted_by_the_dags_next_look(case: StreamCase):
    supervise, show = ["stream", "supervise", "--json"], ["stream", "status", case.dataset.name, "--check", "--json"]
    case.sales(*range(10))
    assert looked(run(supervise)) == ("never started", "started")
    assert run(show).returncode == 0
    await_rows(case, 10)
    kill_application(case.settings)
    case.sales(*range(10, 15))
    shown = run(show)
    assert shown.returncode == 1
    assert "dead: its process" in shown.stderr

    assert looked(run(supervise)) == ("dead", "restarted")

    shown = run(show)
    assert shown.returncode == 0, "well again"
    (facts,) = json.loads(shown.stdout)
    assert (facts["condition"], facts["alive"], facts["restarts"]) == ("running", True, 1)
    await_rows(case, 15)
    await_that(lambda: sum(supervision.statuses()[0].heartbeat["lag"].values()) == 0, "no lag is shown")
    assert looked(run(supervise)) == ("running", "")
    assert case.places() == [(0, offset) for offset in range(15)]
    assert case.ledger(exact=True).unaccounted == 0


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """As the DAG's tasks run it."""
    return subprocess.run(
        [sys.executable, "-m", "headwater.cli", *arguments], capture_output=True, text=True, check=False, timeout=200
    )


def looked(done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    assert done.returncode == 0, done.stderr
    (look,) = json.loads(done.stdout)["streams"]
    return look["found"], look["did"]
