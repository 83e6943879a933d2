"""Spark and PyIceberg see one catalog."""

import psycopg
import pyarrow as pa
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from headwater.lake.catalog import CatalogUnavailableError, get_catalog

pytestmark = pytest.mark.integration


@pytest.fixture
def namespace(stack, spark):
    spark.sql("create namespace if not exists lake.catalog_test")
    yield "catalog_test"
    for table in get_catalog().list_tables("catalog_test"):
        get_catalog().drop_table(table)
    spark.sql("drop namespace lake.catalog_test")


def test_pyiceberg_reads_what_spark_has_written(spark, namespace):
    spark.range(10).writeTo(f"lake.{namespace}.by_spark").option("snapshot-property.mark", "x").create()
    table = get_catalog().load_table(f"{namespace}.by_spark")
    assert table.scan().to_arrow()["id"].to_pylist() == list(range(10))
    assert table.current_snapshot().summary["mark"] == "x"
    assert table.format_version == 2
    assert table.properties["write.parquet.compression-codec"] == "zstd"
    assert table.properties["write.parquet.compression-level"] == "1"


def test_spark_sees_what_pyiceberg_appends_at_once(spark, namespace):
    rows = pa.table({"id": pa.array([1, 2], pa.int64())})
    table = get_catalog().create_table(f"{namespace}.by_python", rows.schema)
    table.append(rows)
    assert spark.table(f"lake.{namespace}.by_python").count() == 2
    table.append(rows)
    assert spark.table(f"lake.{namespace}.by_python").count() == 4


def test_times_are_in_utc(spark, namespace):
    spark.sql("select timestamp'2017-01-01 00:30:00' as t").writeTo(f"lake.{namespace}.times").create()
    (value,) = get_catalog().load_table(f"{namespace}.times").scan().to_arrow()["t"].to_pylist()
    assert value.isoformat() == "2017-01-01T00:30:00+00:00"


# PyIceberg's alone: the JVM of the shared Spark session has connections of its own, by other names.
END_CONNECTIONS = """
    select pg_terminate_backend(pid) from pg_stat_activity where datname = 'catalog' and application_name = ''
"""


def end_connections(settings):
    with psycopg.connect(settings.postgres_dsn("postgres"), autocommit=True) as connection:
        assert connection.execute(END_CONNECTIONS).rowcount > 0


def test_connections_that_were_ended_are_made_anew(stack):
    catalog = get_catalog()
    before = catalog.list_namespaces()
    end_connections(stack)
    assert catalog.list_namespaces() == before


def test_a_connection_that_ends_in_the_middle_is_told(stack):
    with Session(get_catalog().engine) as session:
        session.execute(text("select 1"))
        end_connections(stack)
        with pytest.raises(CatalogUnavailableError, match="does not answer.*headwater up postgres"):
            session.execute(text("select 1"))
