"""A lake on a real MinIO, beside the shared stack's own.

Its catalog lies in the stack's Postgres, or behind a real REST catalog, which then hands out the keys for MinIO. The
Spark session is a new one of the JVM that all tests share, with catalog and files of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pyspark.sql import SparkSession
from tests.conftest import environment
from tests.datasets.cases import Lake
from tests.minio import Minio, running_minio
from tests.rest_catalog import running_rest_catalog

from headwater.lake.catalog import get_catalog
from headwater.lake.sessions import CATALOG, spark_conf
from headwater.settings import Settings

OF_REST = "rest"
"""Where in the bucket the REST catalog's warehouse lies."""


@dataclass
class S3Lake:
    """The lake, and where in the bucket it lies."""

    lake: Lake
    minio: Minio
    root: str

    def files(self) -> set[str]:
        """Paths of all its files, as `s3://…`."""
        return self.minio.listed(self.root)


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    """MinIO with one bucket."""
    with running_minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(scope="session")
def rest_catalog(stack: Settings, minio: Minio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a REST catalog whose warehouse lies on MinIO."""
    properties = {
        "warehouse": minio.settings(OF_REST)["HEADWATER_LAKE_URI"],
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "client.region": "us-east-1",
        "s3.endpoint": minio.endpoint,
        "s3.path-style-access": "true",
        "s3.access-key-id": minio.access_key,
        "s3.secret-access-key": minio.secret_key,
        "include-credentials": "true",
    }
    with running_rest_catalog(stack, tmp_path_factory.mktemp("rest"), properties) as uri:
        yield uri


@pytest.fixture(params=["jdbc", "rest"])
def s3_lake(request: pytest.FixtureRequest, stack: Settings, spark: SparkSession, minio: Minio) -> Iterator[S3Lake]:
    """A lake on S3, as the settings say."""
    root = uuid.uuid4().hex[:8] if request.param == "jdbc" else OF_REST
    variables: dict[str, str | None] = dict(minio.settings(root))
    if request.param == "rest":
        uri = request.getfixturevalue("rest_catalog")
        variables |= {"HEADWATER_CATALOG_TYPE": "rest", "HEADWATER_CATALOG_URI": uri}
        variables |= dict.fromkeys(("HEADWATER_S3_ACCESS_KEY", "HEADWATER_S3_SECRET_KEY"))
    with environment(**variables):
        yield S3Lake(Lake(session_of_settings(spark), get_catalog()), minio, root)


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
