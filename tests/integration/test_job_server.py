"""The warm Python of batch jobs: what a job prints, how it ends, and that it ends with its client."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headwater.embedded.job_client import WarmJob
from headwater.errors import RetryableError
from headwater.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """A home with a running job server; its path is short, as a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="hw-") as home:
        socket = Path(home) / "jobs.sock"
        server = subprocess.Popen([sys.executable, "-m", "headwater.embedded.job_server", str(socket)])
        chosen = Settings(home=Path(home))
        connected(server, chosen).close()
        yield chosen
        server.terminate()
        server.wait(timeout=20)


def connected(server: subprocess.Popen[bytes], settings: Settings) -> WarmJob:
    """A connection to the server, as soon as it listens."""
    deadline = time.monotonic() + 120
    while (job := WarmJob.connect(settings)) is None:
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return job


def run(settings: Settings, tmp_path: Path, code: str, **env: str) -> tuple[int | None, list[str]]:
    """Run a script as a job; its exit code and lines."""
    script = tmp_path / "job.py"
    script.write_text(code)
    lines: list[str] = []
    job = WarmJob.connect(settings)
    assert job is not None
    return job.run([str(script), "a"], cwd=str(tmp_path), env={**os.environ, **env}, on_line=lines.append), lines


def test_a_module_runs_as_by_python_m(settings, tmp_path):
    (tmp_path / "told.py").write_text("import sys; print(__name__, sys.argv[1:], __file__)")
    lines: list[str] = []
    job = WarmJob.connect(settings)
    assert job is not None
    assert job.run(["-m", "told", "a"], cwd=str(tmp_path), env=dict(os.environ), on_line=lines.append) == 0
    assert lines == [f"__main__ ['a'] {tmp_path / 'told.py'}"]


def test_a_job_runs_with_its_own_arguments_folder_and_environment(settings, tmp_path):
    code = "import os, sys; print(sys.argv[1], os.getcwd(), os.environ['WHAT']); print('late', file=sys.stderr)"
    assert run(settings, tmp_path, code, WHAT="x") == (0, [f"a {tmp_path} x", "late"])


@pytest.mark.parametrize(
    ("code", "expected"), [("raise SystemExit(65)", 65), ("1/0", 1), ("import os, signal; os.kill(os.getpid(), 9)", -9)]
)
def test_the_exit_code_is_the_jobs_own(settings, tmp_path, code, expected):
    assert run(settings, tmp_path, code)[0] == expected


def test_the_imports_of_jobs_are_there_already(settings, tmp_path):
    code = "import sys; print('great_expectations' in sys.modules, 'pyspark.sql.connect.session' in sys.modules)"
    assert run(settings, tmp_path, code)[1] == ["True True"]


def test_one_job_leaves_nothing_to_the_next(settings, tmp_path):
    run(settings, tmp_path, "import sys; sys.left_behind = 1")
    assert run(settings, tmp_path, "import sys; print(hasattr(sys, 'left_behind'))")[1] == ["False"]


def test_a_job_ends_with_its_client(settings, tmp_path):
    script = tmp_path / "job.py"
    script.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
    job = WarmJob.connect(settings)
    assert job is not None
    pids: list[int] = []

    def on_line(line: str) -> None:
        pids.append(int(line))
        threading.Thread(target=job.kill).start()

    with pytest.raises(RetryableError, match="went away"):
        job.run([str(script)], cwd=str(tmp_path), env=dict(os.environ), on_line=on_line)
    assert ended(pids[0])


def test_a_job_that_does_not_listen_is_killed(tmp_path):
    code = "import headwater.embedded.job_server as s; s.KILL_AFTER_SECONDS = 0.2; "
    code += "from pathlib import Path; import sys; s.JobServer(Path(sys.argv[1])).serve()"
    script = tmp_path / "job.py"
    script.write_text(
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.getpid(), flush=True)\ntime.sleep(600)"
    )
    with tempfile.TemporaryDirectory(prefix="hw-") as home:
        server = subprocess.Popen([sys.executable, "-c", code, f"{home}/jobs.sock"])
        job = connected(server, Settings(home=Path(home)))
        pids: list[int] = []

        def on_line(line: str) -> None:
            pids.append(int(line))
            threading.Thread(target=job.kill).start()

        with pytest.raises(RetryableError, match="went away"):
            job.run([str(script)], cwd=str(tmp_path), env=dict(os.environ), on_line=on_line)
        assert ended(pids[0])
        assert server.poll() is None
        server.terminate()
        server.wait(timeout=20)


def ended(pid: int) -> bool:
    """Whether the process ends within 20 s."""
    _, alive = psutil.wait_procs([p for p in psutil.process_iter() if p.pid == pid], timeout=20)
    return not alive
