import re

import pytest

from headwater.errors import ConfigurationError
from headwater.lake.sessions import LAUNCH_ONLY, SECRETS, spark_conf, write_spark_properties
from headwater.lake.storage import for_python
from headwater.settings import Settings, get_settings

REST = {"catalog_type": "rest", "catalog_uri": "https://catalog.example.com/api"}


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
    assert for_python(settings)["s3.endpoint"] == "http://127.0.0.1:9000"


def test_aws_itself_is_given_no_endpoint_and_no_empty_keys(configured):
    settings = configured(lake_uri="s3://lake/x")
    assert "spark.sql.catalog.lake.s3.endpoint" not in spark_conf()
    assert "spark.sql.catalog.lake.s3.path-style-access" not in spark_conf()
    assert "s3.access-key-id" not in for_python(settings)


def test_spark_hides_every_property_that_holds_a_secret(configured):
    """Whoever may ask a session for its settings, or opens the UI, sees stars."""
    secrets = dict.fromkeys(("postgres_password", "s3_access_key", "s3_secret_key"), "hush")
    configured(lake_uri="s3://lake/x", **secrets)
    held = {name for name, value in spark_conf().items() if "hush" in value}
    configured(**REST, lake_uri="s3://lake/x", catalog_token="hush", catalog_credential="me:hush", **secrets)
    held |= {name for name, value in spark_conf().items() if "hush" in value}
    assert len(held) == 5
    assert [name for name in held if not re.search(SECRETS, name)] == []
    assert spark_conf()["spark.redaction.regex"] == SECRETS


def test_how_a_bucket_is_addressed_can_be_said(configured):
    settings = configured(lake_uri="s3://lake/x", s3_endpoint="https://s3.example.com", s3_path_style="false")
    assert "spark.sql.catalog.lake.s3.path-style-access" not in spark_conf()
    assert for_python(settings)["s3.force-virtual-addressing"] == "true"


def test_a_rest_catalog_takes_the_place_of_postgres(configured):
    settings = configured(**REST, catalog_credential="me:hush", catalog_warehouse="w", s3_access_key="key")
    wanted = {"type": "rest", "uri": REST["catalog_uri"], "warehouse": "w", "credential": "me:hush"}
    assert for_python(settings) == wanted
    prefix = "spark.sql.catalog.lake."
    of_spark = {n.removeprefix(prefix): v for n, v in spark_conf().items() if n.startswith(prefix)}
    assert wanted.items() <= of_spark.items()
    assert [name for name in of_spark if name.startswith(("jdbc.", "header."))] == []


def test_without_keys_of_ones_own_a_rest_catalog_is_asked_for_some(configured):
    configured(**REST, lake_uri="s3://lake/x")
    assert spark_conf()["spark.sql.catalog.lake.header.X-Iceberg-Access-Delegation"] == "vended-credentials"


def test_a_rest_catalog_without_an_address_is_refused(configured):
    settings = configured(catalog_type="rest")
    with pytest.raises(ConfigurationError, match="HEADWATER_CATALOG_URI"):
        for_python(settings)


def test_a_password_with_special_characters_is_quoted_in_the_address(configured):
    assert ":p%40ss%20word@" in for_python(configured())["uri"]


def test_the_properties_file_is_private(configured, tmp_path):
    configured()
    path = write_spark_properties(tmp_path / "spark" / "x.conf")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "spark.sql.catalog.lake.jdbc.password p@ss word\n" in path.read_text()
