"""A lake on a real MinIO, beside the shared stack's own; its catalog lies in the stack's Postgres.

The Spark session is a new one of the JVM that all tests share, with catalog and files of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession
from tests.conftest import environment
from tests.datasets.cases import Lake
from tests.minio import Minio, running_minio

from headwater.lake.catalog import get_catalog
from headwater.lake.sessions import CATALOG, spark_conf
from headwater.settings import Settings


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    """MinIO with one bucket."""
    with running_minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Where in the bucket the test's lake lies."""
    return uuid.uuid4().hex[:8]


@pytest.fixture
def s3_lake(stack: Settings, spark: SparkSession, minio: Minio, prefix: str) -> Iterator[Lake]:
    """A lake on S3, as the settings say; the catalog lies in Postgres."""
    with environment(**minio.settings(prefix)):
        yield Lake(session_of_settings(spark), get_catalog())


def session_of_settings(spark: SparkSession) -> SparkSession:
    """A new session of the same JVM whose catalog `lake` is that of the settings as they are now."""
    session = spark.newSession()
    own = f"spark.sql.catalog.{CATALOG}."
    for name in [one.key for one in session.sql("SET").collect() if one.key.startswith(own)]:
        session.conf.unset(name)
    for name, value in spark_conf().items():
        if name.startswith(own):
            session.conf.set(name, value)
    return session
