import pytest

from headwater.lake.catalog import catalog_properties
from headwater.lake.sessions import LAUNCH_ONLY, spark_conf, write_spark_properties
from headwater.settings import Settings, get_settings


@pytest.fixture
def configured(monkeypatch, tmp_path):
    def configure(**values: str) -> Settings:
        values = {"home": str(tmp_path), "postgres_password": "p@ss word", **values}
        for name, value in values.items():
            monkeypatch.setenv(f"HEADWATER_{name.upper()}", value)
        get_settings.cache_clear()
        return get_settings()

    yield configure
    get_settings.cache_clear()


def test_no_secret_is_among_what_the_jvm_is_started_with(configured):
    configured()
    conf = spark_conf()
    assert conf["spark.sql.catalog.lake.jdbc.password"] == "p@ss word"
    assert "p@ss word" not in str([conf[name] for name in LAUNCH_ONLY])


def test_the_catalog_does_not_cache_tables(configured):
    configured()
    assert spark_conf()["spark.sql.catalog.lake.cache-enabled"] == "false"


def test_a_lake_of_local_files_needs_no_s3(configured):
    configured()
    assert [name for name in spark_conf() if ".s3." in name or "io-impl" in name] == []


def test_a_lake_on_minio_is_addressed_by_path(configured):
    settings = configured(
        lake_uri="s3://lake/x", s3_endpoint="http://127.0.0.1:9000", s3_access_key="key", s3_secret_key="hush"
    )
    conf = spark_conf()
    assert conf["spark.sql.catalog.lake.io-impl"] == "org.apache.iceberg.aws.s3.S3FileIO"
    assert conf["spark.sql.catalog.lake.s3.path-style-access"] == "true"
    assert conf["spark.sql.catalog.lake.warehouse"] == "s3://lake/x"
    assert catalog_properties(settings)["s3.endpoint"] == "http://127.0.0.1:9000"


def test_aws_itself_is_given_no_endpoint_and_no_empty_keys(configured):
    settings = configured(lake_uri="s3://lake/x")
    assert "spark.sql.catalog.lake.s3.endpoint" not in spark_conf()
    assert "spark.sql.catalog.lake.s3.path-style-access" not in spark_conf()
    assert "s3.access-key-id" not in catalog_properties(settings)


def test_a_password_with_special_characters_is_quoted_in_the_address(configured):
    assert ":p%40ss%20word@" in catalog_properties(configured())["uri"]


def test_the_properties_file_is_private(configured, tmp_path):
    configured()
    path = write_spark_properties(tmp_path / "spark" / "x.conf")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "spark.sql.catalog.lake.jdbc.password p@ss word\n" in path.read_text()
