"""Fault 4: the same insert is retried after ClickHouse has forgotten its token. Queries still answer correctly."""

import pytest
from pyspark.sql import SparkSession
from tests.streams import stream_case

from headwater.settings import Settings
from headwater.streaming.live import LiveFollower
from headwater.warehouse.client import writer

pytestmark = pytest.mark.integration


def test_a_repeat_after_the_token_is_forgotten_is_not_seen(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    case.sales(*range(10))
    case.read_once(spark)
    LiveFollower(case.dataset).catch_up()
    name = f"live.{case.dataset.name}"
    with writer() as client:
        rows = client.query_arrow(f"SELECT * FROM {name}")
        client.insert_arrow(name, rows, settings={"insert_deduplication_token": "another"})
        asked = "SELECT count(), uniqExact(basket_id), toString(sum(sales_value)) FROM"
        assert client.query(f"{asked} {name}").result_rows == [(20, 10, "25")], "stored twice"
        assert client.query(f"{asked} {name} FINAL").result_rows == [(10, 10, "12.5")], "seen once"
