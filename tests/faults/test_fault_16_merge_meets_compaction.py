"""Fault 16: a merge meets a compaction of the same table. Whoever comes second goes again; no row is lost or doubled.

Builds and maintenance keep apart by the table's lock. Here neither holds it: a foreign tool does not know of it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.datasets.cases import Lake
from tests.integration.lake.sales import new_dataset
from tests.jobs import HeldCommits, wait_until

from headwater.contracts.model import Dataset
from headwater.lake import commits
from headwater.lake.compaction import MIN_INPUT_FILES, Scope, compact
from headwater.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.fault]

ROWS = 2 * MIN_INPUT_FILES


@pytest.fixture
def dataset(lake: Lake) -> Dataset:
    """Silver in as many small files as compaction takes notice of, all of one month."""
    made = new_dataset(lake)
    for first in range(0, ROWS, 2):
        rows = f"SELECT id, 1L, DATE'2017-03-01' FROM range({first}, {first + 2}, 1, 1)"
        lake.spark.sql(f"INSERT INTO lake.silver.{made.name} (basket_id, quantity, transaction_date) {rows}")
    return made


def merge(lake: Lake, dataset: Dataset, source: str) -> None:
    """Five pieces more of the baskets that the source names, as a build does it."""
    sql = f"""MERGE INTO lake.silver.{dataset.name} t USING ({source}) s ON t.basket_id = s.basket_id
        WHEN MATCHED THEN UPDATE SET t.quantity = t.quantity + 5"""
    commits.execute(lake.catalog, lake.spark, f"silver.{dataset.name}", sql, {})


def quantities(lake: Lake, dataset: Dataset) -> list[tuple[int, int]]:
    rows = lake.rows(f"silver.{dataset.name}", "basket_id, quantity")
    return sorted((row["basket_id"], row["quantity"]) for row in rows)


def expected(*merged: int) -> list[tuple[int, int]]:
    return [(n, 6 if n in merged else 1) for n in range(ROWS)]


def test_a_merge_that_was_overtaken_by_a_compaction_goes_again(
    lake: Lake, dataset: Dataset, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    lake.spark.udf.register("wait_for_compaction", waits(tmp_path / "merging", tmp_path / "compacted"), "long")
    other, done = lake.spark.newSession(), []

    def compacting() -> None:
        wait_until((tmp_path / "merging").exists, "the merge has chosen its files")
        done.append(compact(other, lake.catalog, f"silver.{dataset.name}", Scope()))
        (tmp_path / "compacted").touch()

    thread = threading.Thread(target=compacting)
    thread.start()
    with caplog.at_level(logging.WARNING):
        merge(lake, dataset, "SELECT wait_for_compaction(id) AS basket_id FROM range(3, 4)")
    thread.join()

    assert done[0]["files_rewritten"] == MIN_INPUT_FILES
    assert "commit met another writer, try 1" in caplog.text
    assert quantities(lake, dataset) == expected(3)


def waits(begun: Path, done: Path) -> Callable[[int], int]:
    """A function that says that it has begun, and goes on when the other is done. The files it works on are chosen."""

    def wait(number: int) -> int:
        import time

        begun.touch()
        for _ in range(600):
            if done.exists():
                return number
            time.sleep(0.1)
        raise TimeoutError(str(done))

    return wait


def test_a_compaction_that_was_overtaken_by_a_merge_goes_again(
    stack: Settings, lake: Lake, dataset: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    other = lake.spark.newSession()
    done: list[Any] = []
    name = f"silver.{dataset.name}"
    with HeldCommits(stack, name) as held:
        merging = threading.Thread(target=merge, args=(lake, dataset, "SELECT 3L AS basket_id"))
        merging.start()
        first = held.await_waiting()
        compacting = threading.Thread(target=lambda: done.append(compact(other, lake.catalog, name, Scope())))
        compacting.start()
        held.await_waiting(first)
    with caplog.at_level(logging.WARNING):
        merging.join(60)
        compacting.join(60)

    assert done
    assert done[0]["conflicts"] == 1
    assert done[0]["files_rewritten"] > 0
    assert quantities(lake, dataset) == expected(3)
    table = lake.catalog.load_table(name)
    files = {task.file.file_path: len(task.delete_files) for task in table.scan().plan_files()}
    assert (len(files), sum(files.values())) == (1, 0), "it was compacted all the same, the merge's deletes with it"
