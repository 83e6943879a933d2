"""How far a stream's offsets have come, told by the summaries of the tables behind it."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from clickhouse_connect.driver.client import Client
from pyiceberg.table import Table
from tests.conftest import environment
from tests.integration.streaming.bronze import Bronze, new_bronze, row

from headwater.contracts.clickhouse import create_table_sql
from headwater.contracts.iceberg import apply_table
from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Dataset, Spread
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings
from headwater.streaming.ledger import Account
from headwater.streaming.live import LiveFollower
from headwater.streaming.reach import PartitionReach, derived, reach_of
from headwater.warehouse.client import writer
from headwater.warehouse.ddl import table_uuid
from headwater.warehouse.state import Loaded, ensure_state, record

pytestmark = pytest.mark.integration


@pytest.fixture
def client(stack: Settings) -> Iterator[Client]:
    connected = writer()
    ensure_state(connected)
    yield connected
    connected.close()


@pytest.fixture
def bronze(stack: Settings) -> Bronze:
    made = new_bronze()
    made.commit(*(row(n, n) for n in range(9)), row(9, 0, _kafka_partition=1))
    return made


@pytest.fixture
def models(bronze: Bronze) -> list[Dataset]:
    """A fact that reads the stream, a mart that reads the fact, and a model that reads neither."""
    mark = bronze.dataset.name.removeprefix("transactions_")
    fact = replace(load_dataset("fct_sales"), name=f"fact_{mark}", spread={bronze.dataset.name: Spread.SAME})
    mart = replace(load_dataset("dim_date"), name=f"mart_{mark}", spread={fact.name: Spread.WHOLE}, warehouse=None)
    other = replace(load_dataset("dim_store"), name=f"other_{mark}", spread={"stores": Spread.WHOLE})
    return [mart, other, fact]


def commit(table: Table, properties: dict[str, str]) -> int:
    with table.transaction() as transaction, transaction.update_snapshot(snapshot_properties=properties).fast_append():
        pass
    return table.refresh().metadata.current_snapshot_id or 0


def silver_at(bronze: Bronze, offsets: dict[str, int], topic_id: str = "T1") -> int:
    name = f"silver.{bronze.dataset.name}"
    apply_table(get_catalog(), bronze.dataset, name)
    position = json.dumps({"topic_id": topic_id, "offsets": offsets})
    key = f"headwater.input-offsets.bronze.{bronze.dataset.name}"
    return commit(get_catalog().load_table(name), {key: position})


def gold_at(model: Dataset, **inputs: int) -> int:
    name = f"gold.{model.name}"
    apply_table(get_catalog(), model, name)
    properties = {f"headwater.input.{key.replace('__', '.')}": str(snapshot) for key, snapshot in inputs.items()}
    return commit(get_catalog().load_table(name), properties)


def reached(bronze: Bronze, models: list[Dataset]) -> dict[int, PartitionReach]:
    found = reach_of(bronze.dataset, models)
    assert found is not None
    assert found.reason == ""
    return {line.partition: line for line in found.partitions}


def test_models_derive_through_others(bronze: Bronze, models: list[Dataset]):
    mart, _, fact = models
    assert derived(bronze.dataset.name, models) == [fact, mart]


def test_each_stage_is_followed_back_to_offsets(bronze: Bronze, models: list[Dataset], client: Client):
    mart, _, fact = models
    stream = bronze.dataset.name
    first = silver_at(bronze, {"0": 3})
    fact_first = gold_at(fact, **{f"silver__{stream}": first})
    gold_at(mart, **{f"gold__{fact.name}": fact_first})
    second = silver_at(bronze, {"0": 6, "1": 1})
    gold_at(fact, **{f"silver__{stream}": second, "gold__dim_date": 1})
    silver_at(bronze, {"0": 8, "1": 1})
    client.command("CREATE DATABASE IF NOT EXISTS gold")
    client.command(create_table_sql(fact))
    shown = Loaded(fact.name, "loyalty", fact_first, table_uuid(client, "gold", fact.name), 0, "everything")
    record(client, stream, [shown])
    LiveFollower(bronze.dataset).catch_up()

    found = reached(bronze, models)

    assert found[0] == PartitionReach(0, bronze=9, silver=8, gold=3, warehouse=3, live=9)
    assert found[1] == PartitionReach(1, bronze=1, silver=1, gold=0, warehouse=0, live=1)


def test_what_was_never_built_has_nothing(bronze: Bronze, models: list[Dataset], client: Client):
    assert reached(bronze, models)[0] == PartitionReach(0, 9, None, None, None, None)


def test_offsets_of_the_topic_before_say_nothing_of_this_one(bronze: Bronze, models: list[Dataset], client: Client):
    silver_at(bronze, {"0": 9})
    bronze.account = Account("T2", {}, {})
    bronze.commit(row(20, 0))

    assert reached(bronze, models)[0].silver is None


def test_where_a_snapshot_on_the_way_has_expired_nobody_can_say(bronze: Bronze, models: list[Dataset], client: Client):
    fact = models[2]
    gold_at(fact, **{f"silver__{bronze.dataset.name}": 4711})
    silver_at(bronze, {"0": 8})

    found = reached(bronze, [fact])[0]

    assert (found.silver, found.gold) == (8, None)


def test_without_the_warehouse_the_lake_is_told(bronze: Bronze, models: list[Dataset]):
    silver_at(bronze, {"0": 8})
    with environment(HEADWATER_CLICKHOUSE_PORT="1"):
        found = reach_of(bronze.dataset, models)

    assert found is not None
    assert (found.partitions[0].silver, found.partitions[0].warehouse) == (8, None)
    assert found.reason
