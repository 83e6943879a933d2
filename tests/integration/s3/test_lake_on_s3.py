"""The whole way of the data with the lake on S3: bronze, quarantine, silver, gold, the warehouse, and what keeps it."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from tests.datasets.cases import Lake
from tests.faults.test_fault_20_late_events import by_day
from tests.minio import Minio
from tests.streams import sale, stream_case
from typer.testing import CliRunner

from headwater.contracts.iceberg import ensure_tables
from headwater.contracts.layers import table_names
from headwater.contracts.model import WarehouseTable
from headwater.lake import gold
from headwater.lake.maintenance import maintain_table
from headwater.lake.silver import build
from headwater.lake.table_commands import app
from headwater.settings import Settings, get_settings
from headwater.streaming.quarantine import Selection, quarantine_of
from headwater.streaming.replaying import Means, replay
from headwater.warehouse.client import writer
from headwater.warehouse.loading import load

pytestmark = pytest.mark.integration


def test_from_kafka_to_the_warehouse_and_what_is_mended_follows(
    stack: Settings, s3_lake: Lake, minio: Minio, prefix: str, tmp_path: Path
) -> None:
    """Both Spark and PyIceberg write: the stream and the builds by the one, a replay by the other."""
    case = stream_case(get_settings())
    dataset = case.dataset
    ensure_tables(s3_lake.catalog, dataset)
    contracts, model = by_day(s3_lake, dataset, tmp_path)
    served = replace(model.dataset, warehouse=WarehouseTable("gold", order_by=("day",), partition_by="toYYYYMM(day)"))
    case.produce(case.framed(sale(1)), b"noise", case.framed(sale(3, quantity=-3)))
    with closing(writer()) as client:

        def pipeline() -> list[tuple[int, Decimal]]:
            case.read_once(s3_lake.spark)
            build(s3_lake.spark, s3_lake.catalog, dataset)
            gold.build(s3_lake.spark, s3_lake.catalog, contracts, model)
            load(client, s3_lake.catalog, [served])
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
        table = s3_lake.catalog.load_table(name)
        assert table.location().startswith(f"s3://lake/{prefix}/")
        live = {task.file.file_path for task in table.scan().plan_files()}
        assert live
        assert live <= minio.listed(prefix)


def test_history_tag_difference_rollback_and_maintenance(stack: Settings, s3_lake: Lake, minio: Minio, prefix: str):
    case = stream_case(get_settings())
    ensure_tables(s3_lake.catalog, case.dataset)
    name = f"silver.{case.dataset.name}"
    for number in range(3):
        case.sales(number)
        case.read_once(s3_lake.spark)
        build(s3_lake.spark, s3_lake.catalog, case.dataset)
    first = told("history", name)[2]["snapshot_id"]
    told("tag", name, "good", "--at", str(first))
    assert told("diff", name, "good")["rows_added"] == 2
    assert told("rollback", name, "good", "--yes")["done"] is True
    assert len(s3_lake.rows(name)) == 1
    build(s3_lake.spark, s3_lake.catalog, case.dataset)
    assert sorted(row["basket_id"] for row in s3_lake.rows(name)) == [0, 1, 2]

    before = minio.listed(prefix)
    bronze = f"bronze.{case.dataset.name}"
    for table in (bronze, name):
        maintain_table(s3_lake.spark, s3_lake.catalog, case.dataset, table)
        live = {task.file.file_path for task in s3_lake.catalog.load_table(table).scan().plan_files()}
        assert live <= minio.listed(prefix)
    assert before
    assert case.places() == [(0, 0), (0, 1), (0, 2)]
    assert len(s3_lake.rows(name)) == 3


def test_no_secret_is_shown(stack: Settings, s3_lake: Lake, minio: Minio, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither by Spark, to whoever asks a session for its settings, nor in what is logged."""
    shown = {row.key: row.value for row in s3_lake.spark.sql("SET").collect()}
    assert shown["spark.sql.catalog.lake.s3.endpoint"] == minio.endpoint
    launched = s3_lake.spark.sparkContext.getConf().toDebugString()
    for secret in (minio.access_key, minio.secret_key, stack.postgres_password.get_secret_value()):
        assert secret not in str(shown)
        assert secret not in launched
        assert secret not in "".join(capfd.readouterr())


def told(*arguments: str):
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output or result.exception
    return json.loads(result.stdout)
