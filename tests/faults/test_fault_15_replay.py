"""Fault 15: replay of quarantine, twice; of a record that was fixed. Each lands once; every attempt is on record."""

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from tests.conftest import environment
from tests.datasets.cases import Lake
from tests.faults.test_fault_20_late_events import by_day
from tests.integration.lake.sales import new_dataset, position
from tests.integration.lake.sales import sale as sold
from tests.streams import StreamCase, sale, schema_with, stream_case

from headwater.contracts.iceberg import ensure_tables
from headwater.contracts.model import Dataset, WarehouseTable
from headwater.contracts.releases import release
from headwater.lake import gold
from headwater.lake.catalog import get_catalog
from headwater.lake.partitions import NOTHING
from headwater.lake.restate import restate
from headwater.lake.silver import build
from headwater.settings import Settings
from headwater.streaming.attempts import attempts_at
from headwater.streaming.broker import Broker
from headwater.streaming.ledger import Account, nearest_account
from headwater.streaming.live import LiveFollower
from headwater.streaming.quarantine import Selection, quarantine_of
from headwater.streaming.replaying import Means, replay
from headwater.streaming.verification import verify
from headwater.warehouse.client import writer
from headwater.warehouse.loading import load

pytestmark = [pytest.mark.integration, pytest.mark.fault]

TILL = {"name": "till", "type": ["null", "int"], "default": None}


def test_what_is_replayed_flows_on_to_silver_and_the_live_table_once(stack: Settings, lake: Lake, tmp_path: Path):
    case = stream_case(stack)
    dataset = case.dataset
    ensure_tables(lake.catalog, dataset)
    ahead = schema_with(case.schema, TILL)
    elsewhere = case.registry.register(f"{dataset.topic}-elsewhere", ahead)
    good = case.framed(sale(1))
    early = case.framed({**sale(2), "till": None}, ahead, elsewhere)
    case.produce(good, early, case.framed(sale(3, quantity=-3)), good[:-3])
    case.read_once(lake.spark)
    assert build(lake.spark, lake.catalog, dataset)["rows_refused"] == 1
    follower = LiveFollower(dataset)
    assert (follower.catch_up(), listed(case)) == (1, [("decode", 1), ("decode", 3), ("rule", 2)])

    assert case.registry.register(dataset.subject, ahead) == elsewhere
    patch = tmp_path / "patch.json"
    patch.write_text(json.dumps({"quantity": 3}))
    for expected in (1, 0):
        assert replay(dataset, Selection(stage="decode")).landing == expected
        assert replay(dataset, Selection(stage="rule"), Means(patch)).landing == expected

    assert listed(case) == [("decode", 3)]
    assert build(lake.spark, lake.catalog, dataset)["rows"] == 2
    assert build(lake.spark, lake.catalog, dataset)["mode"] == "unchanged"
    assert (silver(lake, case), follower.catch_up()) == ([(1, 0, 1), (2, 1, 1), (3, 2, 3)], 2)
    case.sales(4)
    case.read_once(lake.spark)
    build(lake.spark, lake.catalog, dataset)
    assert (len(silver(lake, case)), follower.catch_up(), live_rows(case)) == (4, 1, 4)

    line = case.ledger(exact=True).partitions[0]
    assert (line.read, line.quarantined, line.unaccounted) == (3, 2, 0)
    broker = Broker(stack)
    check = verify(dataset, broker.topic(dataset.topic), broker)
    assert check is not None
    assert check.agrees
    told = {n: [(a["attempt"], a["outcome"]) for a in attempts_at(dataset.name, 0, n)] for n in (1, 2, 3)}
    assert told == {1: [(1, "landed")], 2: [(1, "landed")], 3: [(0, "failed"), (0, "failed")]}


def test_what_is_replayed_reaches_gold_and_the_warehouse_once_by_the_ordinary_pipeline(
    stack: Settings, lake: Lake, tmp_path: Path
):
    """Silver, gold and load run as they always do, after the replay and again after it was repeated."""
    case = stream_case(stack)
    dataset = case.dataset
    contracts, model = by_day(lake, dataset, tmp_path)
    served = replace(model.dataset, warehouse=WarehouseTable("gold", order_by=("day",), partition_by="toYYYYMM(day)"))
    ensure_tables(lake.catalog, dataset)
    case.produce(case.framed(sale(1)), case.framed(sale(2))[5:], case.framed(sale(3, quantity=-3)))
    case.read_once(lake.spark)
    with closing(writer()) as client:

        def pipeline() -> tuple[int, str, list[tuple[int, Decimal]]]:
            """Rows that silver wrote, what gold replaced, and what the warehouse then shows."""
            built = build(lake.spark, lake.catalog, dataset)
            replaced = gold.build(lake.spark, lake.catalog, contracts, model).replaced.describe()
            load(client, lake.catalog, [served])
            shown = client.query(f"SELECT lines, sales FROM gold.{served.name}").result_rows
            return int(built["rows"]), replaced, [tuple(row) for row in shown]

        assert pipeline()[2] == [(1, Decimal("1.25"))]
        before = account_of(case)
        patch = tmp_path / "patch.json"
        patch.write_text(json.dumps({"quantity": 3, "sales_value": 2.5}))
        with released(dataset, tmp_path):
            for landing, expected in ((1, (2, [(3, Decimal("5.00"))])), (0, (0, [(3, Decimal("5.00"))]))):
                decoded = replay(dataset, Selection(stage="decode"), Means(schema_version=1))
                mended = replay(dataset, Selection(stage="rule"), Means(patch))
                assert (decoded.landing, mended.landing) == (landing, landing)
                rows, _, shown = pipeline()
                assert (rows, shown) == expected
        assert pipeline()[1] == NOTHING.describe()
        client.command(f"DROP TABLE gold.{served.name} SYNC")

    assert silver(lake, case) == [(1, 0, 1), (2, 1, 1), (3, 2, 3)]
    assert account_of(case) == before, "a replay moves no position"
    line = case.ledger(exact=True).partitions[0]
    assert (line.read, line.quarantined, line.unaccounted) == (2, 1, 0)


def test_a_restatement_does_not_bring_back_what_was_mended_into_another_day(lake: Lake):
    """The mended row has another key and another month; by rules that were loosened since, the first would pass."""
    dataset = new_dataset(lake)
    lake.arrive(dataset, [sold(4, 0), sold(5, 1, quantity=-1)], position(2))
    build(lake.spark, lake.catalog, dataset)
    moved = dt.datetime(2018, 5, 1, tzinfo=dt.UTC)
    lake.arrive(dataset, [sold(6, 1, event_timestamp=moved, _attempt=1)])
    build(lake.spark, lake.catalog, dataset)
    before = lake.rows(f"silver.{dataset.name}", "basket_id")

    rules = tuple(rule for rule in dataset.row_rules if rule.name != "quantity_minimum")
    restate(lake.spark, lake.catalog, replace(dataset, row_rules=rules), dt.date(2017, 1, 1), dt.date(2017, 2, 1))

    after = lake.rows(f"silver.{dataset.name}", "basket_id")
    assert sorted(row["basket_id"] for row in before) == sorted(row["basket_id"] for row in after) == [4, 6]


@contextmanager
def released(dataset: Dataset, project: Path) -> Iterator[None]:
    """Version 1 of the dataset's schema is released, in a project of the test's own."""
    with environment(HEADWATER_PROJECT_DIR=str(project)):
        assert release(dataset) is not None
        yield


def account_of(case: StreamCase) -> Account | None:
    return nearest_account(get_catalog().load_table(f"bronze.{case.dataset.name}"))


def listed(case: StreamCase) -> list[tuple[str, int]]:
    return sorted((record.stage, record.offset) for record in quarantine_of(case.dataset))


def silver(lake: Lake, case: StreamCase) -> list[tuple[int, int, int]]:
    """Basket, offset and quantity of silver's rows."""
    found = lake.rows(f"silver.{case.dataset.name}", "basket_id, _kafka_offset, quantity")
    return sorted(tuple(row.values()) for row in found)


def live_rows(case: StreamCase) -> int:
    client = writer()
    try:
        return client.query(f"SELECT count() FROM live.{case.dataset.name} FINAL").result_rows[0][0]
    finally:
        client.close()
