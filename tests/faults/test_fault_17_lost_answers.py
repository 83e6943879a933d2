"""Fault 17: the catalog answers with an error after it did commit. The commit is recognised; no file is deleted.

A proxy in front of the real Postgres hands everything on, then cuts the connection when the server has carried out the
commit. Iceberg's JDBC catalog then sends the commit again, by itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest
from pyiceberg.table import Table
from pyspark.sql import SparkSession
from tests.aged import local
from tests.conftest import environment
from tests.datasets.cases import Lake
from tests.integration.lake.sales import new_dataset, sale
from tests.integration.streaming.bronze import new_bronze, row
from tests.lossy import LossyProxy
from tests.streams import stream_case, tend_until

from headwater.contracts.model import Dataset
from headwater.lake import retention
from headwater.lake.catalog import CatalogUnavailableError, get_catalog
from headwater.lake.names import RefKind, create
from headwater.lake.sessions import spark_conf
from headwater.lake.silver import build
from headwater.settings import Settings
from headwater.streaming.gaps import commit_account
from headwater.streaming.ledger import nearest_account, retained_of
from headwater.streaming.runner import StreamRunner

pytestmark = [pytest.mark.integration, pytest.mark.fault]


@pytest.fixture
def proxy(stack: Settings) -> Iterator[LossyProxy]:
    with LossyProxy(stack.postgres_port) as made:
        yield made


@pytest.fixture
def lossy_spark(stack: Settings, spark: SparkSession, proxy: LossyProxy) -> SparkSession:
    """A session whose Iceberg catalog is behind the proxy."""
    session = spark.newSession()
    for name, value in spark_conf().items():
        if name.startswith("spark.sql.catalog."):
            session.conf.set(name, value.replace(f":{stack.postgres_port}/", f":{proxy.port}/"))
    return session


@pytest.fixture
def behind_the_proxy(stack: Settings, proxy: LossyProxy) -> Iterator[None]:
    """PyIceberg's catalog too is behind the proxy."""
    with environment(HEADWATER_HOME=str(stack.home), HEADWATER_POSTGRES_PORT=str(proxy.port)):
        yield


def test_a_batch_of_a_stream_lands_once(stack: Settings, lossy_spark: SparkSession, proxy: LossyProxy) -> None:
    case = stream_case(stack)
    case.sales(*range(10))
    case.read_once(lossy_spark)
    case.sales(*range(10, 30))
    proxy.arm()

    runner = case.read_once(lossy_spark)

    assert proxy.cuts == 1
    assert runner.heartbeat.attempts == 0, "it did not even have to start anew"
    assert case.places() == [(0, offset) for offset in range(30)]
    assert case.ledger(exact=True).unaccounted == 0
    whole(get_catalog().load_table(f"bronze.{case.dataset.name}"))


def test_a_batch_that_is_still_committing_when_the_stream_starts_anew_lands_once(
    stack: Settings, lossy_spark: SparkSession, proxy: LossyProxy
) -> None:
    """Postgres does not notice that a client is gone while its statement waits: it would carry it out much later."""
    case = stream_case(stack)
    case.sales(*range(10))
    case.read_once(lossy_spark)
    runner = StreamRunner(lossy_spark, stack, case.dataset, once=False)
    try:
        tend_until(runner, lambda: runner.heartbeat.state == "running")
        with psycopg.connect(stack.postgres_dsn(stack.postgres_catalog_database)) as lock:
            sql = "SELECT 1 FROM iceberg_tables WHERE table_namespace = 'bronze' AND table_name = %s FOR UPDATE"
            assert lock.execute(sql, (case.dataset.name,)).fetchone()
            case.sales(*range(10, 30))
            tend_until(runner, lambda: waiting(stack) >= 1)
            with proxy.away():
                tend_until(runner, lambda: runner.heartbeat.state == "retrying")
                assert waiting(stack) >= 1, "the commit is still to come"
            tend_until(runner, lambda: runner.heartbeat.state == "running")
        tend_until(runner, lambda: sum(runner.heartbeat.offsets.values()) == 30)
    finally:
        runner.stop()
    assert runner.heartbeat.attempts >= 1
    assert case.places() == [(0, offset) for offset in range(30)]
    assert case.ledger(exact=True).unaccounted == 0


def waiting(stack: Settings) -> int:
    """How many commits of streams wait for a row of the catalog."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s AND wait_event_type = 'Lock'"
    with psycopg.connect(stack.postgres_dsn(stack.postgres_catalog_database)) as connection:
        (found,) = connection.execute(sql, ("headwater-writer-%",)).fetchone() or (0,)
        return int(found)


def test_a_merge_lands_once_and_keeps_its_files(lake: Lake, lossy_spark: SparkSession, proxy: LossyProxy) -> None:
    dataset = new_dataset(lake)
    lake.arrive(dataset, [sale(n, n) for n in range(10)])
    build(lossy_spark, lake.catalog, dataset)
    lake.arrive(dataset, [sale(n, 10 + n, quantity=5) for n in range(5, 15)])
    lossy_spark.sql(f"SELECT count(*) FROM lake.silver.{dataset.name}").collect()
    before = snapshots(lake, dataset)
    proxy.arm()

    result = build(lossy_spark, lake.catalog, dataset)

    assert proxy.cuts == 1
    assert (result["mode"], result["rows"]) == ("merge", 10)
    assert snapshots(lake, dataset) == before + 1
    rows = lake.rows(f"silver.{dataset.name}", "basket_id, quantity")
    assert {r["basket_id"]: r["quantity"] for r in rows} == {n: 1 if n < 5 else 5 for n in range(15)}
    assert len(rows) == 15
    whole(lake.catalog.load_table(f"silver.{dataset.name}"))
    assert build(lossy_spark, lake.catalog, dataset)["mode"] == "unchanged"


def test_an_account_without_rows_is_recognised(stack: Settings, behind_the_proxy: None, proxy: LossyProxy) -> None:
    bronze = new_bronze()
    bronze.commit(row(1, 0))
    snapshots = len(bronze.table.metadata.snapshots)
    proxy.arm()

    commit_account(bronze.table, bronze.account.advanced({0: 3}))

    assert proxy.cuts == 1
    account = nearest_account(bronze.table)
    assert account is not None
    assert account.offsets == {0: 3}
    assert len(bronze.table.metadata.snapshots) == snapshots + 1


def test_rows_that_go_by_age_are_counted_once(
    stack: Settings, lake: Lake, behind_the_proxy: None, proxy: LossyProxy
) -> None:
    bronze = new_bronze()
    old = dt.datetime.now(dt.UTC) - dt.timedelta(days=100)
    bronze.commit(*(row(n, n, _ingested_at=old) for n in range(4)))
    bronze.commit(*(row(n, n) for n in range(4, 6)))
    cut = retention.cut_of(bronze.dataset, bronze.name, dt.datetime.now(dt.UTC))
    assert cut is not None
    proxy.arm()

    gone = retention.drop(lake.spark, get_catalog(), bronze.dataset, bronze.name, cut)

    assert proxy.cuts == 1
    assert gone["rows"] == 4
    assert retained_of(bronze.table, "T1").rows == {0: 4}
    assert retention.expired_rows(bronze.table, cut) == 0
    whole(bronze.table)


def test_who_asks_for_more_hears_of_it_and_nothing_is_lost(
    stack: Settings, behind_the_proxy: None, proxy: LossyProxy
) -> None:
    bronze = new_bronze()
    bronze.commit(row(1, 0))
    proxy.arm()
    with pytest.raises(CatalogUnavailableError):
        create(get_catalog(), bronze.table, RefKind.TAG, "before-the-repair")
    assert proxy.cuts == 1
    assert "before-the-repair" in bronze.table.metadata.refs
    whole(bronze.table)


def snapshots(lake: Lake, dataset: Dataset) -> int:
    return len(lake.catalog.load_table(f"silver.{dataset.name}").metadata.snapshots)


def whole(table: Table) -> None:
    """Every file that the table names is there, and each of its rows once."""
    files: list[Mapping[str, Any]] = table.inspect.files().to_pylist()
    assert all(local(file["file_path"]).exists() for file in files)
    assert len({file["file_path"] for file in files}) == len(files), "a file is named twice"
    for manifest in table.inspect.all_manifests().to_pylist():
        assert local(manifest["path"]).exists()
