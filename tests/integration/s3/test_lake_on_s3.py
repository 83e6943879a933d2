"""The whole way of the data with the lake on S3: bronze, quarantine, silver, gold, the warehouse, and what keeps it."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import environment, free_port
from tests.faults.test_fault_20_late_events import by_day
from tests.integration.s3.conftest import S3Lake
from tests.minio import Minio
from tests.streams import sale, stream_case
from typer.testing import CliRunner

from headwater.contracts.iceberg import ensure_tables
from headwater.contracts.layers import table_names
from headwater.contracts.model import WarehouseTable
from headwater.lake import gold
from headwater.lake.maintenance import maintain_table
from headwater.lake.silver import build
from headwater.lake.storage import unreachable
from headwater.lake.table_commands import app
from headwater.settings import Settings, get_settings
from headwater.streaming.quarantine import Selection, quarantine_of
from headwater.streaming.replaying import Means, replay
from headwater.warehouse.client import writer
from headwater.warehouse.loading import load

# MinIO is built with Go where it is not on the PATH, which takes minutes.
pytestmark = [pytest.mark.integration, pytest.mark.thorough]


def test_from_kafka_to_the_warehouse_and_what_is_mended_follows(s3_lake: S3Lake, tmp_path: Path) -> None:
    """Both Spark and PyIceberg write: the stream and the builds by the one, a replay by the other."""
    case, lake = stream_case(get_settings()), s3_lake.lake
    dataset = case.dataset
    ensure_tables(lake.catalog, dataset)
    contracts, model = by_day(lake, dataset, tmp_path)
    served = replace(model.dataset, warehouse=WarehouseTable("gold", order_by=("day",), partition_by="toYYYYMM(day)"))
    case.produce(case.framed(sale(1)), b"noise", case.framed(sale(3, quantity=-3)))
    with closing(writer()) as client:

        def pipeline() -> list[tuple[int, Decimal]]:
            case.read_once(lake.spark)
            build(lake.spark, lake.catalog, dataset)
            gold.build(lake.spark, lake.catalog, contracts, model)
            load(client, lake.catalog, [served])
            return [tuple(row) for row in client.query(f"SELECT lines, sales FROM gold.{served.name}").result_rows]

        assert pipeline() == [(1, Decimal("1.25"))]
        assert sorted((one.stage, one.offset) for one in quarantine_of(dataset)) == [("decode", 1), ("rule", 2)]
        patch = tmp_path / "patch.json"
        patch.write_text(json.dumps({"quantity": 3}))
        assert replay(dataset, Selection(stage="rule"), Means(patch)).landing == 1
        case.sales(4)
        assert pipeline() == [(3, Decimal("3.75"))]
        client.command(f"DROP TABLE gold.{served.name} SYNC")

    line = case.ledger(exact=True).partitions[0]
    assert (line.read, line.quarantined, line.unaccounted) == (3, 1, 0)
    for name in (*table_names(dataset), model.table):
        table = lake.catalog.load_table(name)
        assert table.location().startswith(f"s3://lake/{s3_lake.root}/")
        live = {task.file.file_path for task in table.scan().plan_files()}
        assert live
        assert live <= s3_lake.files()


def test_history_tag_difference_rollback_and_maintenance(s3_lake: S3Lake) -> None:
    case, lake = stream_case(get_settings()), s3_lake.lake
    ensure_tables(lake.catalog, case.dataset)
    name, bronze = f"silver.{case.dataset.name}", f"bronze.{case.dataset.name}"
    for number in range(3):
        case.sales(number)
        case.read_once(lake.spark)
        build(lake.spark, lake.catalog, case.dataset)
    first = told("history", name)[2]["snapshot_id"]
    told("tag", name, "good", "--at", str(first))
    assert told("diff", name, "good")["rows_added"] == 2
    assert told("rollback", name, "good", "--yes")["done"] is True
    assert len(lake.rows(name)) == 1
    build(lake.spark, lake.catalog, case.dataset)
    assert sorted(row["basket_id"] for row in lake.rows(name)) == [0, 1, 2]

    for table in (bronze, name):
        done = maintain_table(lake.spark, lake.catalog, case.dataset, table)["done"]
        assert done["orphans"]["files"] == 0, "all of it is younger than an orphan may be"
        live = {task.file.file_path for task in lake.catalog.load_table(table).scan().plan_files()}
        assert live <= s3_lake.files()
    assert case.places() == [(0, 0), (0, 1), (0, 2)]
    assert len(lake.rows(name)) == 3


def test_no_secret_is_shown(stack: Settings, s3_lake: S3Lake, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither by Spark, to whoever asks a session for its settings, nor in what is logged."""
    spark, minio = s3_lake.lake.spark, s3_lake.minio
    assert spark.sql("SHOW NAMESPACES IN lake").collect()
    shown = {row.key: row.value for row in spark.sql("SET").collect()}
    assert shown["spark.sql.catalog.lake.s3.endpoint"] == minio.endpoint
    launched = spark.sparkContext.getConf().toDebugString()
    said = "".join(capfd.readouterr())
    for secret in (minio.access_key, minio.secret_key, stack.postgres_password.get_secret_value()):
        assert [name for name, value in shown.items() if secret in value] == []
        assert secret not in launched
        assert secret not in said


def told(*arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output or result.exception
    return json.loads(result.stdout)


def test_a_bucket_that_is_not_there_and_a_wrong_key_are_told(minio: Minio) -> None:
    def why(**changes: str) -> str:
        with environment(**{**minio.settings("x"), **changes}):
            return unreachable(get_settings())

    assert why() == ""
    assert "no bucket nowhere" in why(HEADWATER_LAKE_URI="s3://nowhere/x")
    wrong = why(HEADWATER_S3_SECRET_KEY="wrong")
    assert "ACCESS_DENIED" in wrong
    assert minio.secret_key not in wrong
    assert "connect" in why(HEADWATER_S3_ENDPOINT=f"http://127.0.0.1:{free_port()}").lower()
