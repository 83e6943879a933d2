"""Maintenance: smaller tables, the same rows, and nothing gone that somebody still has to read."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pyarrow.parquet as pq
import pytest
from tests.datasets.cases import Lake
from tests.integration.lake.sales import new_dataset, position, sale
from typer.testing import CliRunner

from headwater.contracts.model import Dataset
from headwater.lake.changes import appended_since
from headwater.lake.maintenance import POSITION_TAG, Wish, maintain_table
from headwater.lake.silver import build
from headwater.lake.snapshots import inputs_read, operation_of
from headwater.lake.table_commands import app

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


def test_compaction_sorts_as_the_contract_says_and_commits_in_portions(lake: Lake) -> None:
    dataset = _without_live(new_dataset(lake))
    name = f"silver.{dataset.name}"
    assert dataset.sort_by == ("basket_id", "product_id")
    for file in range(5):
        rows = f"SELECT 100 - {file} * 10 - id AS b, 100 - id AS p, day FROM range(0, 10, 1, 1), days"
        days = "WITH days AS (SELECT explode(array(DATE'2017-03-01', DATE'2017-04-01')) AS day)"
        lake.spark.sql(f"INSERT INTO lake.{name} (basket_id, product_id, transaction_date) {days} {rows}")
    before = {s.snapshot_id for s in lake.catalog.load_table(name).metadata.snapshots}

    run = maintain_table(lake.spark, lake.catalog, dataset, name)

    table = lake.catalog.load_table(name)
    files = [task.file.file_path for task in table.scan().plan_files()]
    assert len(files) == 2
    for file in files:
        found = pq.read_table(urlparse(file).path, columns=["basket_id", "product_id"]).to_pylist()
        keys = [(row["basket_id"], row["product_id"]) for row in found]
        assert (len(keys), keys) == (50, sorted(keys))
    portions = [s for s in table.metadata.snapshots if s.snapshot_id not in before and operation_of(s) == "replace"]
    assert len(portions) >= 2, "a month each: one that another writer refuses leaves the other in place"
    told_of(run, name)


def told_of(run: dict[str, Any], name: str) -> None:
    """What was done is kept as numbers, and told to who asks."""
    for side, files, probed in (("before", 10, 5), ("after", 2, 1)):
        size = run[side]
        assert (size["data_files"], size["small_files"], size["probe_files"], size["rows"]) == (
            files,
            files,
            probed,
            100,
        )
        assert min(size["bytes"], size["manifests"], size["plan_seconds"], size["probe_seconds"]) > 0
    told = CliRunner().invoke(app, ["maintained", name, "--json"])
    (kept,) = json.loads(told.stdout)
    assert {part: kept[part] for part in ("before", "done", "after")} == json.loads(json.dumps(run))
    assert "10 → 2" in CliRunner().invoke(app, ["maintained", name], env={"COLUMNS": "250"}).stdout


def test_what_a_stream_took_in_lately_is_left_alone_and_snapshots_go_by_the_contract(lake: Lake) -> None:
    dataset = _without_live(new_dataset(lake))
    name, now = f"bronze.{dataset.name}", dt.datetime.now(dt.UTC)
    for offset in range(10):
        arrived = {"_ingested_at": now if offset < 5 else now - dt.timedelta(hours=2)}
        lake.arrive(dataset, [sale(1000 + offset, offset) | arrived], position(offset + 1))

    done = maintain_table(lake.spark, lake.catalog, dataset, name, Wish(now=now))["done"]

    assert (done["compact"]["files_rewritten"], done["compact"]["files_added"]) == (5, 1)
    assert lake.catalog.load_table(name).inspect.files().num_rows == 6
    build(lake.spark, lake.catalog, dataset)
    for table, days, kept in (
        (name, None, dt.timedelta(hours=1)),
        (f"silver.{dataset.name}", None, dt.timedelta(days=5)),
        (name, 3, dt.timedelta(days=3)),
    ):
        snapshots = {} if days is None else {"snapshots": days}
        wished = dataclasses.replace(dataset, retention_days=dataset.retention_days | snapshots)
        planned = maintain_table(lake.spark, lake.catalog, wished, table, Wish(dry_run=True, now=now))
        assert planned["done"]["expire"]["older_than"] == (now - kept).isoformat(timespec="seconds")


def test_between_the_nights_only_metadata_is_looked_after(lake: Lake) -> None:
    dataset = _without_live(new_dataset(lake))
    name, later = f"bronze.{dataset.name}", dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    for offset in range(12):
        lake.arrive(dataset, [sale(1000 + offset, offset)], position(offset + 1))
    build(lake.spark, lake.catalog, dataset)
    files = set(lake.catalog.load_table(name).inspect.files()["file_path"].to_pylist())

    run = maintain_table(lake.spark, lake.catalog, dataset, name, Wish(metadata_only=True, now=later))

    assert set(run["done"]) == {"manifests", "expire"}
    assert (run["before"]["manifests"], run["after"]["manifests"]) == (12, 1)
    assert (run["before"]["snapshots"], run["done"]["expire"]["snapshots"]) == (12, 11)
    kept = lake.catalog.load_table(name)
    assert set(kept.inspect.files()["file_path"].to_pylist()) == files
    assert len(lake.rows(name)) == 12
    assert json.loads(CliRunner().invoke(app, ["maintained", name, "--json"]).stdout) == []


def _without_live(dataset: Dataset) -> Dataset:
    """The dataset without a live table, so that no ClickHouse is asked; its rows of 2017 are kept."""
    return dataclasses.replace(dataset, live=None, retention_days={"bronze": 36_500, "silver": 36_500})
