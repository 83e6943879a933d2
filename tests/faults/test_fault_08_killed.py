"""Fault 8: the stream process is killed. Restarted by the supervisor at once; the DAG shows it.

The watcher does it within seconds; where that is killed too, the DAG's next look brings both back.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import environment
from tests.faults.supervised import kill_application
from tests.streams import StreamCase, await_rows, await_that, own_project, stream_case

from headwater.embedded import processes
from headwater.settings import Settings
from headwater.streaming import supervision, watching

pytestmark = [pytest.mark.integration, pytest.mark.fault]


SUPERVISE = ["stream", "supervise", "--watch", "--json"]


@pytest.fixture
def case(stack: Settings, tmp_path: Path) -> Iterator[StreamCase]:
    made = stream_case(stack)
    own_project(made, tmp_path)
    own = {"PROJECT_DIR": str(tmp_path), "HOME": str(stack.home), "STREAM_RESTART_PAUSE_SECONDS": "1"}
    with environment(**{f"HEADWATER_{name}": value for name, value in own.items()}):
        try:
            yield made
        finally:
            processes.stop(stack, watching.watcher(stack))
            supervision.stop()


def test_killed_with_its_watcher_it_is_restarted_by_the_dags_next_look_and_then_by_the_watcher(case: StreamCase):
    show = ["stream", "status", case.dataset.name, "--check", "--no-try-again", "--json"]
    case.sales(*range(10))
    assert looked(run(SUPERVISE)) == ("never started", "started", "started")
    assert run(show).returncode == 0
    await_rows(case, 10)
    kill_watcher(case.settings)
    kill_application(case.settings)
    case.sales(*range(10, 15))
    shown = run(show)
    assert shown.returncode == 1
    assert "dead: its process" in shown.stderr

    assert looked(run(SUPERVISE)) == ("dead", "restarted", "started")

    shown = run(show)
    assert shown.returncode == 0, "well again"
    (facts,) = json.loads(shown.stdout)
    assert (facts["condition"], facts["alive"], facts["restarts"]) == ("running", True, 1)
    await_rows(case, 15)

    kill_application(case.settings)
    case.sales(*range(15, 20))
    await_that(lambda: len(events()) == 3, "the watcher has started it, and nobody else looks", 180)

    assert [(event["found"], event["did"], event["note"], event["by"]) for event in events()] == [
        ("never started", "started", "", "look"),
        ("dead", "restarted", "", "look"),
        ("dead", "restarted", "", "watch"),
    ]
    await_rows(case, 20)
    await_that(lambda: sum(supervision.statuses()[0].heartbeat["lag"].values()) == 0, "no lag is shown")
    assert looked(run(SUPERVISE)) == ("running", "", "")
    assert case.places() == [(0, offset) for offset in range(20)]
    assert case.ledger(exact=True).unaccounted == 0


@pytest.mark.thorough
def test_one_that_was_stopped_beyond_its_lease_is_ended_and_started_again_by_the_watcher(case: StreamCase):
    with environment(HEADWATER_STREAM_LEASE_SECONDS="4"):
        case.sales(*range(10))
        assert looked(run(SUPERVISE)) == ("never started", "started", "started")
        await_rows(case, 10)
        stopped = processes.find(case.settings, supervision.PROCESS)
        assert stopped is not None
        os.killpg(stopped.pid, signal.SIGSTOP)
        case.sales(*range(10, 15))

        await_that(lambda: len(events()) == 2, "the watcher has started it again", 120)

    assert (events()[1]["found"], events()[1]["did"], events()[1]["by"]) == ("mute", "restarted", "watch")
    assert not processes.alive(stopped.process)
    await_rows(case, 15)
    assert case.places() == [(0, offset) for offset in range(15)]
    assert case.ledger(exact=True).unaccounted == 0


def events() -> list[dict[str, Any]]:
    """What `stream status`, and so the DAG, shows of what was done about the stream."""
    return supervision.statuses()[0].facts()["events"]


def kill_watcher(settings: Settings) -> None:
    running = processes.find(settings, processes.WATCHER)
    assert running is not None
    running.process.kill()
    await_that(lambda: not processes.alive(running.process), "the watcher is gone")


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """As the DAG's tasks run it."""
    return subprocess.run(
        [sys.executable, "-m", "headwater.cli", *arguments], capture_output=True, text=True, check=False, timeout=200
    )


def looked(done: subprocess.CompletedProcess[str]) -> tuple[str, str, str]:
    """What a look found and did of the stream, and of the watcher."""
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    (look,) = answer["streams"]
    return look["found"], look["did"], answer["watch"]["did"]
