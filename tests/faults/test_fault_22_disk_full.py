"""Fault 22: the disk is full. The batch fails whole and is retried; nothing half-written is visible.

A small file system is mounted over a table's folder of data files, or of metadata: the kernel itself refuses the write.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from tests.aged import local
from tests.datasets.cases import Lake
from tests.integration.lake.sales import new_dataset, sale
from tests.streams import stream_case

from headwater.lake.catalog import get_catalog
from headwater.lake.silver import build
from headwater.lake.snapshots import head_id
from headwater.settings import Settings
from headwater.streaming.runner import StreamRunner

pytestmark = [pytest.mark.integration, pytest.mark.fault]

PAGE = 4096


class FullDisk:
    """A file system of its own over a folder, with hardly any room left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        pages = sum(math.ceil(f.stat().st_size / PAGE) for f in folder.rglob("*") if f.is_file())
        self._kept = folder.with_name(f"{folder.name}.kept")
        shutil.copytree(folder, self._kept)
        self._mount("-t", "tmpfs", "-o", f"size={(pages + 2) * PAGE}", "tmpfs")
        shutil.copytree(self._kept, folder, dirs_exist_ok=True)
        shutil.rmtree(self._kept)

    def free(self) -> None:
        """Make room."""
        self._mount("-o", "remount,size=64m")

    def close(self) -> None:
        """Take the file system away again; its files stay, for others look at all tables of the lake."""
        shutil.copytree(self.folder, self._kept)
        subprocess.run(["umount", "-l", str(self.folder)], check=True)
        shutil.copytree(self._kept, self.folder, dirs_exist_ok=True)
        shutil.rmtree(self._kept)

    def _mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, str(self.folder)], check=True, capture_output=True)


@pytest.fixture
def disks() -> Iterator[list[FullDisk]]:
    """Disks of the test, unmounted afterwards."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a small file system over a folder")
    probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"no file system can be mounted here: {probe.stderr.decode().strip()}")
    made: list[FullDisk] = []
    yield made
    for disk in made:
        disk.close()


@pytest.mark.parametrize("folder", ["data", pytest.param("metadata", marks=pytest.mark.thorough)])
def test_a_batch_of_a_stream_fails_whole_and_is_tried_again(
    stack: Settings, spark: SparkSession, disks: list[FullDisk], folder: str
) -> None:
    case = stream_case(stack)
    case.sales(*range(10))
    case.read_once(spark)
    before = get_catalog().load_table(f"bronze.{case.dataset.name}")
    disks.append(FullDisk(local(before.location()) / folder))
    case.sales(*range(10, 2000))

    runner = StreamRunner(spark, stack, case.dataset, once=True)
    tend_until(runner, "retrying")

    assert "No space left on device" in runner.heartbeat.reason
    assert get_catalog().load_table(before.name()).metadata_location == before.metadata_location
    assert case.places() == [(0, offset) for offset in range(10)]
    assert (case.ledger(exact=True).lag, case.ledger().beyond_lag) == (1990, 0)

    disks[0].free()
    tend_until(runner, "finished")
    assert case.places() == [(0, offset) for offset in range(2000)]
    assert case.ledger(exact=True).unaccounted == 0


def tend_until(runner: StreamRunner, state: str) -> None:
    """Look after the stream until it says so."""
    deadline = time.monotonic() + 120
    while runner.heartbeat.state != state:
        assert time.monotonic() < deadline, f"still {runner.heartbeat}"
        runner.tend()
        time.sleep(0.05)


@pytest.mark.parametrize("folder", ["metadata", pytest.param("data", marks=pytest.mark.thorough)])
def test_a_merge_fails_whole_and_can_be_run_again(lake: Lake, disks: list[FullDisk], folder: str) -> None:
    dataset = new_dataset(lake)
    name = f"silver.{dataset.name}"
    lake.arrive(dataset, [sale(n, n) for n in range(10)])
    build(lake.spark, lake.catalog, dataset)
    before = sorted(lake.rows(name), key=repr)
    head = head_id(lake.catalog.load_table(name))
    lake.arrive(dataset, [sale(n, 100 + n, quantity=5) for n in range(5, 1000)])
    disks.append(FullDisk(local(lake.catalog.load_table(name).location()) / folder))

    with pytest.raises(Exception, match="No space left on device"):
        build(lake.spark, lake.catalog, dataset)

    assert head_id(lake.catalog.load_table(name)) == head
    assert sorted(lake.rows(name), key=repr) == before

    disks[0].free()
    assert build(lake.spark, lake.catalog, dataset)["rows"] == 995
    rows = lake.rows(name, "basket_id, quantity")
    assert {r["basket_id"]: r["quantity"] for r in rows} == {n: 1 if n < 5 else 5 for n in range(1000)}
    assert len(rows) == 1000
