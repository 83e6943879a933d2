"""Dropped Parquet files into bronze: each once, whole, and those that cannot come in by name."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.datasets.cases import Lake

from headwater.contracts.iceberg import ensure_tables
from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Dataset
from headwater.errors import RetryableError, TerminalError
from headwater.lake import source_files
from headwater.lake.bounds import literal
from headwater.lake.silver import build
from headwater.lake.source_files import Drop, ingest_files
from headwater.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture
def promotions(lake: Lake) -> Dataset:
    """A dataset like promotions with a landing folder of its own."""
    name = f"promotions_{uuid.uuid4().hex[:8]}"
    dataset = dataclasses.replace(load_dataset("promotions"), name=name, source_name=f"{name}/*.parquet")
    ensure_tables(lake.catalog, dataset)
    return dataset


@pytest.fixture
def landing(stack: Settings, promotions: Dataset) -> Path:
    folder = stack.landing_dir / promotions.name
    folder.mkdir(parents=True)
    return folder


def test_each_file_comes_in_once(lake: Lake, promotions: Dataset, landing: Path) -> None:
    _drop(landing / "a.parquet", range(100))
    _drop(landing / "b.parquet", range(100, 110))
    _drop(landing / "_unfinished.parquet", range(5))
    assert _ingested(lake, promotions) == (2, 110)
    assert _ingested(lake, promotions) == (0, 0)
    _drop(landing / "c.parquet", range(110, 115))
    assert _ingested(lake, promotions) == (1, 5)
    found = {r["_source_file"] for r in lake.rows(f"bronze.{promotions.name}", "DISTINCT _source_file")}
    assert found == {f"{promotions.name}/{name}.parquet" for name in "abc"}
    assert build(lake.spark, lake.catalog, promotions)["rows"] == 115


def test_a_file_is_known_after_its_snapshot_has_expired(lake: Lake, promotions: Dataset, landing: Path) -> None:
    for number, name in enumerate("ab"):
        _drop(landing / f"{name}.parquet", range(10 * number, 10 * number + 10))
        assert _ingested(lake, promotions) == (1, 10)
    lake.spark.sql(
        f"CALL lake.system.expire_snapshots(table => 'bronze.{promotions.name}', "
        f"older_than => {literal(_tomorrow())}, retain_last => 1)"
    ).collect()
    assert _ingested(lake, promotions) == (0, 0)


def test_what_cannot_come_in_is_named_and_the_rest_comes_in(lake: Lake, promotions: Dataset, landing: Path) -> None:
    _drop(landing / "good.parquet", range(3))
    (landing / "cut.parquet").write_bytes((landing / "good.parquet").read_bytes()[:100])
    pq.write_table(pa.table({"product_id": [1]}), landing / "narrow.parquet")
    with pytest.raises(TerminalError) as caught:
        ingest_files(lake.spark, lake.catalog, promotions)
    assert "cut.parquet: no complete Parquet file" in str(caught.value)
    assert "narrow.parquet: lacks store_id, display_location, mailer_location, week" in str(caught.value)
    assert len(lake.rows(f"bronze.{promotions.name}")) == 3
    (landing / "cut.parquet").unlink()
    (landing / "narrow.parquet").unlink()
    _drop(landing / "good.parquet", range(4))
    with pytest.raises(TerminalError, match=r"good\.parquet: changed since it came in"):
        ingest_files(lake.spark, lake.catalog, promotions)


def test_rows_that_the_footers_do_not_promise_do_not_come_in(
    lake: Lake, promotions: Dataset, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _drop(landing / "a.parquet", range(100))
    assert _ingested(lake, promotions) == (1, 100)
    _drop(landing / "b.parquet", range(100, 110))
    inspected = source_files.inspect

    def then_replaced(path: Path, dataset: Dataset) -> Drop:
        drop = inspected(path, dataset)
        if path.name == "b.parquet":
            _drop(path, range(100, 107))
        return drop

    with monkeypatch.context() as patched:
        patched.setattr(source_files, "inspect", then_replaced)
        with pytest.raises(RetryableError, match=rf"7 rows .* promise 10: {promotions.name}/b\.parquet"):
            ingest_files(lake.spark, lake.catalog, promotions)
    assert len(lake.rows(f"bronze.{promotions.name}")) == 100
    assert _ingested(lake, promotions) == (1, 7)


def _drop(path: Path, products: range) -> None:
    count = len(products)
    columns = {
        "product_id": pa.array(products, pa.int64()),
        "store_id": pa.array([1] * count, pa.int64()),
        "display_location": ["A"] * count,
        "mailer_location": ["0"] * count,
        "week": pa.array([5] * count, pa.int64()),
    }
    pq.write_table(pa.table(columns), path)


def _ingested(lake: Lake, dataset: Dataset) -> tuple[int, int]:
    result = ingest_files(lake.spark, lake.catalog, dataset)
    assert result["rows"] == result.get("rows_promised", 0)
    return result["files"], result["rows"]


def _tomorrow() -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
