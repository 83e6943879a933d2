"""Fault 12: a producer registers an incompatible schema. Refused by the registry; bronze keeps flowing."""

import pytest
from pyspark.sql import SparkSession
from tests.streams import schema_with, stream_case

from headwater.contracts.registry import IncompatibleSchemaError
from headwater.settings import Settings

pytestmark = pytest.mark.integration


def test_the_registry_refuses_and_bronze_goes_on(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    case.sales(1)
    required_without_default = {"name": "till", "type": "int"}
    with pytest.raises(IncompatibleSchemaError):
        case.registry.register(case.dataset.subject, schema_with(case.schema, required_without_default))
    case.sales(2)

    case.read_once(spark)

    rows = case.bronze("event_id", "_error")
    assert rows == [{"event_id": "1-1", "_error": None}, {"event_id": "2-1", "_error": None}]
    assert case.registry.versions(case.dataset.subject) == [1]
