"""Maintenance: smaller tables, the same rows, and nothing gone that somebody still has to read."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from pathlib import Path
from urllib.parse import urlparse

import pytest
from tests.datasets.cases import Lake
from tests.integration.lake.sales import new_dataset, position, sale

from headwater.contracts.model import Dataset
from headwater.lake.changes import appended_since
from headwater.lake.maintenance import POSITION_TAG, Wish, maintain_table
from headwater.lake.silver import build
from headwater.lake.snapshots import inputs_read

pytestmark = pytest.mark.integration

NEXT_WEEK = dt.timedelta(days=7)


def test_compaction_and_expiry_keep_rows_and_what_silver_has_yet_to_read(lake: Lake) -> None:
    dataset = _without_live(new_dataset(lake))
    name = f"bronze.{dataset.name}"
    for offset in range(3):
        lake.arrive(dataset, [sale(1000 + offset, offset)], position(offset + 1))
    build(lake.spark, lake.catalog, dataset)
    for offset in range(3, 7):
        lake.arrive(dataset, [sale(1000 + offset, offset)], position(offset + 1))
    now = dt.datetime.now(dt.UTC) + NEXT_WEEK
    planned = maintain_table(lake.spark, lake.catalog, dataset, name, Wish(dry_run=True, now=now))
    assert planned["before"]["data_files"] == 7
    assert planned["done"]["expire"]["snapshots"] == 2
    assert "after" not in planned
    done = maintain_table(lake.spark, lake.catalog, dataset, name, Wish(now=now))
    assert done["done"]["compact"]["files_rewritten"] == 7
    assert done["done"]["expire"]["held_by"] == f"silver.{dataset.name}"
    assert (done["after"]["data_files"], done["after"]["rows"]) == (1, 7)
    bronze, silver = lake.catalog.load_table(name), lake.catalog.load_table(f"silver.{dataset.name}")
    assert POSITION_TAG in bronze.metadata.refs
    assert appended_since(bronze, inputs_read(silver)[name]).rows == 4
    assert build(lake.spark, lake.catalog, dataset)["from"] == "snapshots"
    assert len(lake.rows(f"silver.{dataset.name}")) == 7


def test_deletes_are_taken_out_and_orphans_swept_by_age(lake: Lake) -> None:
    dataset = _without_live(new_dataset(lake))
    name = f"silver.{dataset.name}"
    lake.arrive(dataset, [sale(1000 + n, n) for n in range(5)])
    build(lake.spark, lake.catalog, dataset)
    lake.arrive(dataset, [sale(1000, 5, quantity=9)])
    build(lake.spark, lake.catalog, dataset)
    before = sorted(lake.rows(name), key=repr)
    table = lake.catalog.load_table(name)
    orphan = Path(urlparse(table.location()).path) / "data" / "left-behind.parquet"
    orphan.write_bytes(b"x")
    done = maintain_table(lake.spark, lake.catalog, dataset, name)
    assert done["before"]["delete_files"] == 1
    assert done["after"]["delete_files"] == 0
    assert orphan.exists(), "a file this young may belong to a write under way"
    four_days_ago = (dt.datetime.now() - dt.timedelta(days=4)).timestamp()
    os.utime(orphan, (four_days_ago, four_days_ago))
    done = maintain_table(lake.spark, lake.catalog, dataset, name)
    assert not orphan.exists()
    assert done["done"]["orphans"]["files"] == 1
    assert sorted(lake.rows(name), key=repr) == before


def test_a_compacted_table_keeps_what_it_knows_of_its_own_last_build(lake: Lake) -> None:
    dataset = _without_live(new_dataset(lake))
    name = f"silver.{dataset.name}"
    for offset in range(2):
        lake.arrive(dataset, [sale(1000, offset, quantity=offset + 1)])
        build(lake.spark, lake.catalog, dataset)
    next_week = Wish(now=dt.datetime.now(dt.UTC) + NEXT_WEEK)
    first = maintain_table(lake.spark, lake.catalog, dataset, name, next_week)
    assert first["done"]["compact"]["delete_files_removed"] == 1
    again = maintain_table(lake.spark, lake.catalog, dataset, name, next_week)
    assert again["done"]["expire"]["held_by"] == name
    assert build(lake.spark, lake.catalog, dataset)["mode"] == "unchanged"


def _without_live(dataset: Dataset) -> Dataset:
    """The dataset without a live table, so that no ClickHouse is asked; its rows of 2017 are kept."""
    return dataclasses.replace(dataset, live=None, retention_days={"bronze": 36_500, "silver": 36_500})
