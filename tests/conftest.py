"""Fixtures that every test may use: a running stack, a Spark session, and a home of one's own.

The shared stack (Kafka, registry, Postgres, ClickHouse) starts once per session, at the first test that asks for it,
below a temporary home on free ports, and is gone afterwards. HEADWATER_TEST_STACK=<home> uses one that runs already
(its ports by HEADWATER_PORT_BASE), which is handy while a test is written. The whole platform, Airflow included, is
started by tests/platform alone; HEADWATER_TEST_PLATFORM=<home> takes the one that `make demo` left running. Downloads
are never fetched twice: they stay in HEADWATER_DOWNLOADS_DIR, or in the project's own `.headwater/downloads`.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from headwater.embedded import processes
from headwater.embedded import stack as embedded
from headwater.embedded.health import is_free
from headwater.settings import LOOPBACK, PORT_DISTANCE, Settings, get_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from tests.agents import Agents
    from tests.datasets.cases import Lake

SHARED_SERVICES = ("postgres", "kafka", "registry", "clickhouse")


@pytest.fixture(scope="session")
def stack() -> Iterator[Settings]:
    """The settings of a running broker, registry, Postgres and ClickHouse. Tests share it: name what you make."""
    running = os.environ.get("HEADWATER_TEST_STACK")
    if running:
        with environment(HEADWATER_HOME=running):
            yield get_settings()
        return
    with temporary_home():
        try:
            embedded.up(SHARED_SERVICES, print)
            yield get_settings()
        finally:
            embedded.down(print, wipe=True)


@pytest.fixture(scope="session")
def connect(stack: Settings) -> Settings:
    """The shared stack with a Kafka Connect worker beside it."""
    embedded.up(["connect"], print)
    return stack


@pytest.fixture(scope="session")
def spark(stack: Settings) -> Iterator[SparkSession]:
    """A classic local Spark session on the shared stack's lake, in this process."""
    from headwater.lake.sessions import get_spark

    session = get_spark("tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def lake(spark: SparkSession) -> Lake:
    """The shared stack's lake, to put rows into bronze and look at what comes of them."""
    from tests.datasets.cases import Lake

    from headwater.lake.catalog import get_catalog

    return Lake(spark, get_catalog())


@pytest.fixture(scope="session")
def agents(stack: Settings) -> Iterator[Agents]:
    """The MCP sidecar over gold tables with a small part of the demo's data, and keys for each role."""
    from tests import agents as serving

    yield from serving.agents(stack)


def _own_home() -> Iterator[Settings]:
    """The settings of a fresh home on free ports, with nothing running; whatever is started there is ended."""
    with temporary_home() as settings:
        try:
            yield settings
        finally:
            embedded.down(print, wipe=True)


own_home = pytest.fixture(_own_home, name="own_home")
module_home = pytest.fixture(_own_home, scope="module", name="module_home")


@contextmanager
def temporary_home() -> Iterator[Settings]:
    """Point this process and its children to a new home, which Postgres's own account may enter too."""
    downloads = get_settings().downloads_dir
    home = Path(tempfile.mkdtemp(prefix="headwater-test-")).resolve()
    home.chmod(0o755)
    sweep()
    (home / "owner.pid").write_text(f"{os.getpid()} {psutil.Process().create_time()}")
    try:
        with environment(
            HEADWATER_HOME=str(home),
            HEADWATER_PORT_BASE=str(free_port_base()),
            HEADWATER_DOWNLOADS_DIR=str(downloads),
            **{f"HEADWATER_{name.upper()}": None for name in (*PORT_DISTANCE, "spark_remote")},
        ):
            yield get_settings()
            left = processes.belonging(get_settings())
            assert not left, f"still running after the test: {left}"
    finally:
        shutil.rmtree(home, ignore_errors=True)


def sweep() -> None:
    """End and remove what test sessions that were killed have left behind."""
    for owner in Path(tempfile.gettempdir()).glob("headwater-test-*/owner.pid"):
        pid, created = owner.read_text().split()
        with suppress(psutil.NoSuchProcess):
            if abs(psutil.Process(int(pid)).create_time() - float(created)) < 1.0:
                continue
        with environment(HEADWATER_HOME=str(owner.parent)):
            embedded.down(print, wipe=True)
        shutil.rmtree(owner.parent, ignore_errors=True)


@contextmanager
def environment(**values: str | None) -> Iterator[None]:
    """Set (or, with None, unset) environment variables and read the settings anew; afterwards all is as before."""
    before = {name: os.environ.get(name) for name in values}
    try:
        _set(values)
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    get_settings.cache_clear()


def free_port() -> int:
    """A free port for a server of one test."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        port: int = taken.getsockname()[1]
    return port


def free_port_base() -> int:
    """A port base all of whose ports are free, below the range from which the system gives out ports of its own."""
    for base in random.sample(range(22_000, 32_000, 100), 100):
        if all(is_free(base + distance) for distance in PORT_DISTANCE.values()):
            return base
    raise AssertionError("no free ports between 22000 and 32000")
