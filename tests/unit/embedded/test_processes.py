import json
import os
import signal
import sys

import psutil
import pytest

from headwater.embedded import processes
from headwater.embedded.errors import StartFailed
from headwater.embedded.service import ProcessSpec
from headwater.environment import child_environment

SLEEPS = (sys.executable, "-c", "import time; time.sleep(60)")
WITH_A_CHILD = (
    sys.executable,
    "-c",
    "import subprocess, sys, time;"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True);"
    "print('ready', flush=True); time.sleep(60)",
)
DEAF = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)",
)


def spec(command, healthy=lambda: True, **more) -> ProcessSpec:
    return ProcessSpec("sleeper", tuple(command), healthy, **more)


def says_ready(settings):
    log = processes.log_file(settings, "sleeper")
    return lambda: log.exists() and "ready" in log.read_text()


@pytest.fixture
def started(settings):
    specs = []

    def start(one):
        specs.append(one)
        running = processes.start(settings, one)
        processes.await_healthy(settings, one, running)
        return running

    yield start
    for one in specs:
        processes.stop(settings, one)


def test_a_started_process_is_found_in_a_group_of_its_own(settings, started):
    running = started(spec(SLEEPS))
    assert processes.find(settings, "sleeper").pid == running.pid
    assert os.getpgid(running.pid) == running.pid


def test_a_pid_given_to_another_process_is_not_ours(settings, started):
    started(spec(SLEEPS))
    file = processes.pid_file(settings, "sleeper")
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"create_time": record["create_time"] - 60}))
    assert processes.find(settings, "sleeper") is None


@pytest.mark.parametrize("content", ["", "{", "{}", '{"pid": 0, "create_time": 0}'])
def test_a_broken_pid_file_is_no_process(settings, content):
    processes.run_dir(settings).mkdir(parents=True)
    processes.pid_file(settings, "sleeper").write_text(content)
    assert processes.find(settings, "sleeper") is None


def test_a_killed_process_is_not_alive_even_before_it_is_reaped(settings, started):
    running = started(spec(SLEEPS))
    os.kill(running.pid, signal.SIGKILL)
    assert processes.await_end([running.process], 5) == []
    assert processes.find(settings, "sleeper") is None


def test_stop_ends_children_in_other_sessions(settings, started):
    one = spec(WITH_A_CHILD, says_ready(settings))
    running = started(one)
    (child,) = running.process.children()
    assert processes.stop(settings, one)
    assert not psutil.pid_exists(child.pid) or not processes.alive(child)
    assert not processes.pid_file(settings, "sleeper").exists()


def test_what_starts_others_again_is_ended_alone(settings, started):
    of_its_own = {**child_environment({}), processes.NAME_MARK: "another", processes.HOME_MARK: str(settings.home)}
    starts = WITH_A_CHILD[2].replace("start_new_session=True", f"start_new_session=True, env={of_its_own!r}")
    keeper = spec((*WITH_A_CHILD[:2], starts), healthy=says_ready(settings), leaves_children=True)
    running = started(keeper)
    (child,) = running.process.children()
    try:
        assert processes.stop(settings, keeper)
        assert not processes.alive(running.process)
        assert processes.alive(child)
    finally:
        child.kill()


def test_orphans_of_a_killed_process_are_found_and_ended(settings, started):
    one = spec(WITH_A_CHILD, says_ready(settings))
    running = started(one)
    (child,) = running.process.children()
    os.kill(running.pid, signal.SIGKILL)
    processes.await_end([running.process], 5)
    assert [stray.pid for stray in processes.strays(settings, one)] == [child.pid]
    assert processes.stop(settings, one)
    assert not processes.alive(child)


def test_what_ignores_sigterm_is_killed(settings, started):
    one = spec(DEAF, says_ready(settings), grace_seconds=0.3)
    running = started(one)
    processes.end([running.process], 0.2)
    assert not processes.alive(running.process)


def test_stopping_what_does_not_run_does_nothing(settings):
    assert not processes.stop(settings, spec(SLEEPS))


def test_a_process_that_ends_while_it_starts_is_told_with_its_log(settings):
    one = spec((sys.executable, "-c", "print('no such luck'); raise SystemExit(3)"), lambda: False)
    running = processes.start(settings, one)
    with pytest.raises(StartFailed, match="(?s)it ended.*no such luck.*headwater up"):
        processes.await_healthy(settings, one, running)


def test_a_process_that_stays_mute_is_told(settings, started):
    running = started(spec(SLEEPS))
    with pytest.raises(StartFailed, match="did not answer"):
        processes.await_healthy(settings, spec(SLEEPS, lambda: False), running, seconds=0.2)


def test_a_large_log_is_put_aside(settings, started, monkeypatch):
    monkeypatch.setattr(processes, "LOG_KEPT_BYTES", 10)
    settings.logs_dir.mkdir(parents=True)
    processes.log_file(settings, "sleeper").write_text("x" * 100)
    started(spec(SLEEPS))
    assert processes.log_file(settings, "sleeper").with_suffix(".log.1").read_text() == "x" * 100
    assert processes.log_file(settings, "sleeper").read_text() == ""


def test_tail_gives_the_last_lines(settings, tmp_path):
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert processes.tail(log, 2) == ["line 998", "line 999"]
    assert processes.tail(tmp_path / "none.log", 2) == []
