"""A table of Postgres into bronze: what is new, changed or gone, and nothing else."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from tests.datasets.cases import Lake

from headwater.contracts.iceberg import ensure_tables
from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Dataset
from headwater.errors import TerminalError
from headwater.lake.silver import build
from headwater.lake.source_table import ingest_table
from headwater.quality.checks import QualityFailed
from headwater.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture
def source(stack: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(stack.postgres_dsn(stack.postgres_source_database), autocommit=True) as connection:
        yield connection


@pytest.fixture
def stores(lake: Lake, source: psycopg.Connection) -> Iterator[Dataset]:
    """A dataset like stores on a source table of its own, with 100 rows."""
    name = f"stores_{uuid.uuid4().hex[:8]}"
    source.execute(f"CREATE TABLE {name} (store_id bigint PRIMARY KEY, store_name text, updated_at timestamp NOT NULL)")
    source.execute(f"INSERT INTO {name} SELECT i, 'Store ' || i, '2017-01-01' FROM generate_series(1, 100) i")
    dataset = dataclasses.replace(load_dataset("stores"), name=name, source_name=f"public.{name}")
    ensure_tables(lake.catalog, dataset)
    yield dataset
    source.execute(f"DROP TABLE IF EXISTS {name}")


def test_only_what_differs_is_appended(lake: Lake, source: psycopg.Connection, stores: Dataset) -> None:
    assert _operations(lake, stores) == (100, 0)
    assert _operations(lake, stores) == (0, 0)
    source.execute(f"UPDATE {stores.name} SET store_name = 'Renamed' WHERE store_id = 1")
    source.execute(f"DELETE FROM {stores.name} WHERE store_id IN (2, 3)")
    source.execute(f"INSERT INTO {stores.name} VALUES (101, 'New', '2017-05-01 12:30:00')")
    assert _operations(lake, stores) == (2, 2)
    assert _operations(lake, stores) == (0, 0)
    build(lake.spark, lake.catalog, stores)
    assert _alive(lake, stores) == _in_source(source, stores)
    times = lake.rows(f"bronze.{stores.name}", "store_id, cast(updated_at AS string) AS at")
    assert {"store_id": 101, "at": "2017-05-01 12:30:00"} in times


def test_a_deleted_row_that_comes_back_is_appended_again(
    lake: Lake, source: psycopg.Connection, stores: Dataset
) -> None:
    _operations(lake, stores)
    source.execute(f"TRUNCATE {stores.name}")
    assert _operations(lake, stores) == (0, 100)
    with pytest.raises(QualityFailed, match="stores_arrived: expected rowCount at least 1, found 0"):
        build(lake.spark, lake.catalog, stores)
    assert _alive(lake, stores) == set()
    source.execute(f"INSERT INTO {stores.name} VALUES (7, 'Store 7', '2017-01-01')")
    assert _operations(lake, stores) == (1, 0)
    build(lake.spark, lake.catalog, stores)
    assert _alive(lake, stores) == _in_source(source, stores) == {(7, "Store 7")}


def test_a_missing_source_table_says_what_to_do(lake: Lake, source: psycopg.Connection, stores: Dataset) -> None:
    source.execute(f"ALTER TABLE {stores.name} DROP COLUMN store_name")
    with pytest.raises(TerminalError, match="the source table lacks store_name"):
        ingest_table(lake.spark, lake.catalog, stores)
    source.execute(f"DROP TABLE {stores.name}")
    with pytest.raises(TerminalError, match="headwater source load"):
        ingest_table(lake.spark, lake.catalog, stores)


def _operations(lake: Lake, dataset: Dataset) -> tuple[int, int]:
    result = ingest_table(lake.spark, lake.catalog, dataset)
    return result["rows_upsert"], result["rows_delete"]


def _alive(lake: Lake, dataset: Dataset) -> set[tuple[int, str | None]]:
    rows = lake.rows(f"silver.{dataset.name}", "store_id, store_name, _is_deleted")
    return {(row["store_id"], row["store_name"]) for row in rows if not row["_is_deleted"]}


def _in_source(source: psycopg.Connection, dataset: Dataset) -> set[tuple[int, str | None]]:
    return set(source.execute(f"SELECT store_id, store_name FROM {dataset.name}").fetchall())
