"""The lake that the cases are played on."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from tests.datasets.cases import Lake

from headwater.lake.catalog import get_catalog


@pytest.fixture(scope="session")
def lake(spark: SparkSession) -> Lake:
    """The shared stack's lake."""
    return Lake(spark, get_catalog())
