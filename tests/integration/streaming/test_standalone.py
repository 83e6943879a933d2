"""The streams on a real standalone master and worker: submitted, polled and killed as everywhere else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from tests.conftest import environment
from tests.faults.supervised import kill_application
from tests.streams import StreamCase, await_rows, await_that, own_project, stream_case

from headwater.embedded import processes
from headwater.embedded.health import is_free
from headwater.embedded.java import ensure_java
from headwater.embedded.java import environment as java_environment
from headwater.embedded.spark import spark_home
from headwater.environment import child_environment
from headwater.settings import Settings
from headwater.streaming import supervision
from headwater.streaming.health import judge
from headwater.streaming.launching import application_name, launcher
from headwater.streaming.supervising import supervise

pytestmark = [pytest.mark.integration, pytest.mark.thorough]

LOOPBACK = "127.0.0.1"
ANOTHER = "headwater-stream-of-another-home"
GUEST = """
import sys
from pyspark.sql import SparkSession
conf = {"spark.driver.host": "127.0.0.1", "spark.driver.memory": "512m", "spark.ui.enabled": "false"}
SparkSession.builder.master(sys.argv[1]).appName(sys.argv[2]).config(map=conf).getOrCreate()
sys.stdin.read()
"""
"""An application that stands in the master's queue until its input ends."""


class Cluster:
    """A standalone master, and a worker that can be taken away."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.port, self.ui_port, self._worker_port, self._worker_ui = _free_ports(settings.port_base + 600)
        self.master, self.ui = f"spark://{LOOPBACK}:{self.port}", f"http://{LOOPBACK}:{self.ui_port}"
        self._settings, self._folder = settings, folder
        options = ("--host", LOOPBACK, "--port", str(self.port), "--webui-port", str(self.ui_port))
        self._processes = [self._start("master.Master", *options)]
        await_that(lambda: not is_free(self.ui_port), "the master answers", 60)

    def add_worker(self) -> None:
        ports = ("--port", str(self._worker_port), "--webui-port", str(self._worker_ui))
        work = ("--cores", "1", "--memory", "600m", "--work-dir", str(self._folder / "work"))
        self._processes.append(self._start("worker.Worker", "--host", LOOPBACK, *ports, *work, self.master))
        await_that(lambda: self.state()["aliveworkers"] == 1, "the worker has registered", 60)

    def take_worker(self) -> None:
        _end(self._processes.pop())
        await_that(lambda: self.state()["aliveworkers"] == 0, "the master has noticed", 120)

    def state(self) -> dict:
        with urlopen(f"{self.ui}/json/", timeout=5) as answer:
            return json.load(answer)

    def applications(self) -> list[str]:
        return [app["state"] for app in self.state()["activeapps"]]

    def names(self) -> list[str]:
        return [app["name"] for app in self.state()["activeapps"]]

    def end(self) -> None:
        for process in reversed(self._processes):
            _end(process)

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        java = str(ensure_java(self._settings).executable)
        # A worker that is gone is noticed after this many seconds.
        command = [java, "-Xmx200m", "-Dspark.worker.timeout=4", "-cp", str(spark_home() / "jars" / "*")]
        own = {**java_environment(self._settings), "SPARK_HOME": str(spark_home()), "SPARK_LOCAL_IP": LOOPBACK}
        own["SPARK_SCALA_VERSION"] = "2.13"  # the wheel lacks the scripts from which a worker would know
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*command, f"org.apache.spark.deploy.{name}", *arguments],
                env=child_environment(own),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(30)


def _free_ports(first: int) -> list[int]:
    free = [port for port in range(first, first + 60) if is_free(port)]
    return free[:4]


@pytest.fixture
def cluster(stack: Settings, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(stack, tmp_path)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def case(stack: Settings, cluster: Cluster, tmp_path: Path) -> Iterator[StreamCase]:
    made = stream_case(stack)
    own_project(made, tmp_path)
    own = {"PROJECT_DIR": str(tmp_path), "HOME": str(stack.home), "SPARK_MASTER": cluster.master}
    own |= {"SPARK_MASTER_UI": cluster.ui, "SPARK_EXECUTOR_MEMORY": "500m", "STREAM_STALL_SECONDS": "4"}
    with environment(SPARK_LOCAL_IP=LOOPBACK, **{f"HEADWATER_{name}": value for name, value in own.items()}):
        try:
            yield made
        finally:
            supervision.stop()


def test_streams_run_on_a_standalone_cluster(case: StreamCase, cluster: Cluster, stack: Settings):
    from headwater.settings import get_settings

    def row():
        return supervision.statuses()[0].row

    def verdict() -> str:
        return judge(row(), get_settings()).condition

    cluster.add_worker()
    case.sales(*range(10))
    supervision.start(wait_seconds=240)
    await_rows(case, 10, 120)
    assert cluster.applications() == ["RUNNING"]
    assert launcher(get_settings()).complaint(row()) == ""

    cluster.take_worker()
    case.sales(*range(10, 14))
    await_that(lambda: verdict() == "stalled", "there is nothing to run on", 60)
    (look,) = supervise()
    assert (look.found, look.did) == ("stalled", "waits")
    assert "has no executors" in look.note
    cluster.add_worker()
    await_rows(case, 14, 120)
    assert row().restarts == 0, "the same driver went on"

    kill_application(stack)
    await_that(lambda: cluster.applications() == [], "the master has noticed that the driver is gone", 60)
    case.sales(*range(14, 20))
    assert supervise()[0].did == "restarted"
    await_rows(case, 20, 120)
    assert cluster.applications() == ["RUNNING"]
    assert supervision.stop() is True
    await_that(lambda: cluster.applications() == [], "nothing is left on the cluster", 60)
    assert case.places() == [(0, offset) for offset in range(20)]
    assert case.ledger(exact=True).unaccounted == 0


def test_a_sick_application_is_ended_on_the_cluster_too_and_no_other(case: StreamCase, cluster: Cluster):
    from headwater.settings import get_settings

    settings = get_settings()
    cluster.add_worker()
    assert supervision.start(wait_seconds=240) is True
    running = processes.find(settings, supervision.PROCESS)
    assert running is not None
    mine = application_name(settings)
    assert cluster.names() == [mine]
    with another_application(cluster, settings) as guest:
        there = sorted([mine, ANOTHER])
        await_that(lambda: guest.poll() is not None or sorted(cluster.names()) == there, "both are there", 120)
        processes.pid_file(settings, supervision.PROCESS).unlink()  # its submitter died before it wrote it
        adopted = launcher(settings).poll([supervision.statuses()[0].row])
        assert adopted is not None
        assert (adopted.pid, adopted.streams) == (running.pid, (case.dataset.name,))
        os.killpg(running.pid, signal.SIGSTOP)  # it cannot say goodbye to the master

        assert launcher(settings).kill(sick=True) is True

        assert not processes.alive(running.process)
        await_that(lambda: cluster.names() == [ANOTHER], "it has ended on the master, the other has not", 60)


@contextmanager
def another_application(cluster: Cluster, settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", GUEST, cluster.master, ANOTHER]
    told = child_environment(java_environment(settings))
    guest = subprocess.Popen(command, stdin=subprocess.PIPE, env=told, start_new_session=True)
    try:
        yield guest
    finally:
        guest.communicate(timeout=60)
