"""Fault 13: several writer versions in one micro-batch, a new optional field among them."""

import pytest
from pyspark.sql import SparkSession
from tests.streams import sale, schema_with, stream_case

from headwater.settings import Settings

pytestmark = pytest.mark.integration

TILL = {"name": "till", "type": ["null", "int"], "default": None}


def test_each_record_is_decoded_by_its_own_schema(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    case.sales(1)
    case.read_once(spark)
    assert "till" not in case.bronze()[0]

    newer = schema_with(case.schema, TILL)
    newer_id = case.registry.register(case.dataset.subject, newer)
    new_record = case.framed(sale(3, till=12), newer, newer_id)
    case.produce(case.framed(sale(2)), new_record, case.framed(sale(4)))
    case.read_once(spark)

    rows = case.bronze("event_id", "till", "_schema_id", "_error", "sales_value")
    assert [(r["event_id"], r["till"]) for r in rows] == [("1-1", None), ("2-1", None), ("3-1", 12), ("4-1", None)]
    assert [r["_schema_id"] for r in rows] == [case.schema_id, case.schema_id, newer_id, case.schema_id]
    assert {r["_error"] for r in rows} == {None}
