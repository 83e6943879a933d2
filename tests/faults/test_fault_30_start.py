"""Fault 30: ports taken, Java missing or too old, no disk, an earlier half-finished start.

Said at once with the remedy; a second start works. Everything is provoked for real, in a home of the test's own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from headwater.embedded import processes
from headwater.embedded.postgres import data_dir, place
from headwater.embedded.status import status
from headwater.settings import Settings, get_settings

pytestmark = [pytest.mark.integration, pytest.mark.fault]
AT_ONCE_SECONDS = 15
UP = [sys.executable, "-m", "headwater.cli", "up"]


def up(*services: str, prefix: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, *UP, *services], capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )


def refused(answer: subprocess.CompletedProcess[str], settings: Settings, *texts: str) -> None:
    """It was refused with these words, without a traceback, and nothing was started."""
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert [text for text in texts if text not in answer.stderr] == [], answer.stderr
    assert "Traceback" not in answer.stderr
    assert processes.belonging(settings) == {}


def serves(settings: Settings, *services: str) -> bool:
    get_settings.cache_clear()
    return {one.state for one in status(get_settings(), services)} == {"healthy"}


@pytest.fixture
def in_namespace() -> tuple[str, ...]:
    """A command prefix that runs what follows in a mount namespace of its own, after a shell line."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a mount namespace needs root and `unshare`")
    return ("unshare", "-m", "sh", "-c")


def test_taken_ports_are_told_at_once_and_freed_ports_are_used(own_home):
    with (
        socket.create_server(("127.0.0.1", own_home.postgres_port)),
        socket.create_server(("127.0.0.1", own_home.kafka_controller_port)),
    ):
        begin = time.monotonic()
        answer = up("postgres", "kafka")
        assert time.monotonic() - begin < AT_ONCE_SECONDS
    refused(
        answer,
        own_home,
        f"{own_home.postgres_port} (postgres; held by pid {os.getpid()}",
        f"{own_home.kafka_controller_port} (kafka; held by pid {os.getpid()}",
        "HEADWATER_PORT_BASE",
    )
    assert up("postgres").returncode == 0
    assert serves(own_home, "postgres")


def test_java_too_old_is_told_at_once(own_home, tmp_path):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho java.base@11.0.2\n")
    java.chmod(0o755)
    begin = time.monotonic()
    answer = up("kafka", HEADWATER_JAVA_HOME=str(tmp_path))
    assert time.monotonic() - begin < AT_ONCE_SECONDS
    refused(answer, own_home, "Java 11", "runs on 17 or 21", "HEADWATER_JAVA_HOME", "openjdk-17-jre-headless")


def test_java_missing_is_told_at_once(own_home, in_namespace):
    hide = "for place in /usr/lib/jvm /usr/java /opt/java; do test ! -d $place || mount -t tmpfs none $place; done; "
    words = " ".join([*UP, "kafka"])
    begin = time.monotonic()
    answer = subprocess.run(
        [*in_namespace, hide + words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "JAVA_HOME": "", "HOME": "/nonexistent", "HEADWATER_JAVA_INSTALL": "never"},
    )
    assert time.monotonic() - begin < AT_ONCE_SECONDS
    refused(answer, own_home, "no Java 17 or 21 was found", "openjdk-17-jre-headless")


def test_a_disk_that_is_too_small_is_told_at_once_and_a_larger_one_is_used(own_home, in_namespace):
    words = " ".join([*UP, "postgres"])
    answer = subprocess.run(
        [*in_namespace, f"mount -t tmpfs -o size=64m none {own_home.home} && {words}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    refused(answer, own_home, "0.1 GB are free, 2.0 GB are needed", str(own_home.home), "HEADWATER_HOME")
    assert up("postgres").returncode == 0
    assert serves(own_home, "postgres")


def test_a_start_that_was_killed_half_way_is_finished_by_the_next(own_home):
    first = subprocess.Popen([*UP, "postgres", "kafka"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not processes.pid_file(own_home, "kafka").exists():
        assert time.monotonic() < deadline, "Kafka was never started"
        assert first.poll() is None, "the start ended before it could be killed"
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    answer = up("postgres", "kafka")
    assert answer.returncode == 0, answer.stderr
    assert serves(own_home, "postgres", "kafka")
    assert len(processes.belonging(own_home)["kafka"]) == 1


def test_a_database_that_was_never_finished_is_made_anew(own_home):
    half = data_dir(own_home)
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    (place(own_home) / "password").write_text("left behind")
    answer = up("postgres")
    assert answer.returncode == 0, answer.stderr
    assert serves(own_home, "postgres")
    assert not (place(own_home) / "password").exists()


def test_storage_that_was_never_formatted_is_formatted(own_home):
    (own_home.home / "kafka" / "data").mkdir(parents=True)
    (own_home.home / "kafka" / "data" / "bootstrap.checkpoint.tmp").write_text("half")
    answer = up("kafka")
    assert answer.returncode == 0, answer.stderr
    assert serves(own_home, "kafka")


def test_a_pid_that_is_now_somebody_elses_is_left_alone(own_home):
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    try:
        record = {"name": "postgres", "pid": bystander.pid, "create_time": time.time() - 9999, "command": "postgres"}
        processes.run_dir(own_home).mkdir(parents=True)
        processes.pid_file(own_home, "postgres").write_text(json.dumps(record))
        assert up("postgres").returncode == 0
        assert subprocess.run([*UP[:-1], "down"], capture_output=True).returncode == 0
        assert psutil.Process(bystander.pid).is_running()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_lost_passwords_are_told_with_the_remedy(own_home):
    assert up("postgres").returncode == 0
    assert subprocess.run([*UP[:-1], "down"], capture_output=True).returncode == 0
    (own_home.home / "secrets.env").unlink()
    answer = up("postgres")
    assert answer.returncode == 1
    assert "the password does not fit the data" in answer.stderr
    assert "HEADWATER_POSTGRES_PASSWORD" in answer.stderr


def test_a_home_that_postgres_cannot_enter_works_all_the_same(own_home):
    if os.geteuid() != 0:
        pytest.skip("only root's Postgres runs as another user")
    own_home.home.chmod(0o700)
    answer = up("postgres")
    assert answer.returncode == 0, answer.stderr
    assert not place(own_home).is_relative_to(own_home.home)
    get_settings.cache_clear()
    with psycopg.connect(get_settings().postgres_dsn("source")) as connection:
        assert connection.execute("show wal_level").fetchone() == ("logical",)
    assert subprocess.run([*UP[:-1], "down", "--wipe"], capture_output=True).returncode == 0
    assert not place(own_home).exists()


def test_a_download_that_was_tampered_with_is_fetched_again_or_refused(own_home, tmp_path):
    downloads = tmp_path / "downloads"
    (downloads / "kafka").mkdir(parents=True)
    jar = next(Path(own_home.downloads_dir, "kafka").glob("argparse4j-*.jar"))
    for file in jar.parent.glob("*.jar"):
        (downloads / "kafka" / file.name).symlink_to(file)
    (downloads / "kafka" / jar.name).unlink()
    (downloads / "kafka" / jar.name).write_bytes(jar.read_bytes() + b"tampered")
    answer = up("kafka", HEADWATER_DOWNLOADS_DIR=str(downloads))
    assert answer.returncode == 0, answer.stderr
    assert (downloads / "kafka" / jar.name).read_bytes() == jar.read_bytes()
