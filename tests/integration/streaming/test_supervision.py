"""`headwater stream start | status | stop` on a process of its own."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.conftest import environment
from tests.streams import StreamCase, committed_rows, own_project, stream_case

from headwater.embedded import processes
from headwater.settings import Settings
from headwater.streaming import supervision

pytestmark = pytest.mark.integration


@pytest.fixture
def case(stack: Settings, tmp_path: Path) -> Iterator[StreamCase]:
    made = stream_case(stack)
    own_project(made, tmp_path)
    with environment(HEADWATER_PROJECT_DIR=str(tmp_path), HEADWATER_HOME=str(stack.home)):
        yield made
        supervision.stop()


def test_a_stream_that_was_killed_is_started_again_and_stops_in_good_order(case: StreamCase):
    case.sales(*range(5))
    assert supervision.start(wait_seconds=240) is True
    assert supervision.running_streams() == [case.dataset.name]
    assert supervision.start(wait_seconds=240) is False  # it runs already

    running = processes.find(case.settings, supervision.PROCESS)
    assert running is not None
    jvms = running.process.children(recursive=True)
    os.kill(running.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs([running.process, *jvms], 60)
    assert not alive, "the JVM outlives Python"
    assert supervision.statuses()[0].state == "dead"

    case.sales(*range(5, 9))
    assert supervision.start(wait_seconds=240) is True
    while committed_rows(case) < 9:
        assert supervision.running_streams() == [case.dataset.name]
    assert supervision.stop() is True
    assert supervision.statuses()[0].state == "stopped"
    assert case.places() == [(0, offset) for offset in range(9)]
    assert case.ledger(exact=True).unaccounted == 0
