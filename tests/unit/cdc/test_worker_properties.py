"""What a worker is told: the same way to Kafka as every other client, and no secret in what is written down."""

import pytest
from pydantic import SecretStr

from headwater.cdc.worker_properties import CLIENTS, as_file, worker_environment, worker_properties
from headwater.errors import ConfigurationError
from headwater.kafka import java_security
from headwater.settings import Settings
from headwater.streaming.broker import spark_kafka_options

PASSWORD = 'a"b\\c'


@pytest.fixture
def secured(tmp_path):
    """A broker with SASL and TLS, and a certificate for the client."""
    for name in ("ca", "certificate", "key"):
        (tmp_path / name).write_text(f"-----BEGIN {name}-----\nAbc=\n-----END {name}-----\n")
    return Settings(
        kafka_bootstrap_servers="b1:9093,b2:9093",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_username="ann",
        kafka_password=SecretStr(PASSWORD),
        kafka_ssl_ca_location=str(tmp_path / "ca"),
        kafka_ssl_certificate_location=str(tmp_path / "certificate"),
        kafka_ssl_key_location=str(tmp_path / "key"),
        kafka_replication_factor=3,
        postgres_password=SecretStr("pg-secret"),
        registry_password=SecretStr("registry-secret"),
    )


def resolved(properties: dict[str, str], environment: dict[str, str], prefix: str) -> dict[str, str]:
    """What a client with this prefix gets of TLS and SASL, the references replaced as Kafka does it."""
    found = {}
    for name in properties:
        own = name.removeprefix(prefix)
        if name.startswith(prefix) and own.startswith(("security.", "sasl.", "ssl.")):
            found[own] = properties[name]
            for key, secret in environment.items():
                found[own] = found[own].replace(f"${{env:{key}}}", secret)
    return found


@pytest.mark.parametrize("prefix", CLIENTS)
def test_each_client_of_the_worker_is_secured_as_every_other_client_is(secured, prefix):
    """The worker's own client has no prefix; producers, consumers and admin clients take nothing from it."""
    told = resolved(worker_properties(secured, "/plugins"), worker_environment(secured), prefix)
    assert told == java_security(secured)
    spark = spark_kafka_options(secured)
    assert {f"kafka.{name}": value for name, value in told.items()}.items() <= spark.items()


def test_no_secret_is_written_down(secured, tmp_path):
    text = as_file(worker_properties(secured, "/plugins"))
    assert "sasl.jaas.config=${env:KAFKA_JAAS_CONFIG}" in text
    for secret in (PASSWORD, "ann", "pg-secret", "registry-secret", "BEGIN key"):
        assert secret not in text, secret
    environment = worker_environment(secured)
    allowed = worker_properties(secured, "/plugins")["config.providers.env.param.allowlist.pattern"].split("|")
    assert set(environment) <= set(allowed), "what is referred to may be resolved"
    assert environment["KAFKA_JAAS_CONFIG"].endswith('username="ann" password="a\\"b\\\\c";')


def test_a_certificate_is_one_line_of_the_file(secured):
    lines = as_file(worker_properties(secured, "/plugins")).splitlines()
    (chain,) = [line for line in lines if line.startswith("ssl.keystore.certificate.chain=")]
    assert chain.endswith("-----BEGIN certificate-----\\nAbc=\\n-----END certificate-----\\n")
    assert all("=" in line for line in lines)


def test_a_plain_broker_needs_no_secret():
    settings = Settings(postgres_password=SecretStr("pg-secret"))
    assert set(worker_environment(settings)) == {"HEADWATER_POSTGRES_PASSWORD", "HEADWATER_REGISTRY_PASSWORD"}
    own = Settings(postgres_password=SecretStr("pg-secret"), capture_user="reader", capture_password=SecretStr("r"))
    assert worker_environment(own)["HEADWATER_CAPTURE_PASSWORD"] == "r"
    assert "pg-secret" not in worker_environment(own).values(), "the platform's own password is not for the worker"
    properties = worker_properties(settings, "/plugins")
    assert {properties[f"{client}security.protocol"] for client in CLIENTS} == {"PLAINTEXT"}
    assert not [name for name in properties if "sasl" in name or "ssl" in name]


def test_a_worker_on_loopback_is_reached_there_and_one_in_a_container_by_its_name():
    settings = Settings(connect_port=8083, connect_advertised_host="10.1.2.3")
    embedded, contained = (worker_properties(settings, "/p", bind) for bind in ("127.0.0.1", "0.0.0.0"))  # noqa: S104
    assert (embedded["listeners"], embedded["rest.advertised.host.name"]) == ("http://127.0.0.1:8083", "127.0.0.1")
    assert (contained["listeners"], contained["rest.advertised.host.name"]) == ("http://0.0.0.0:8083", "10.1.2.3")


def test_its_own_topics_are_as_safe_as_all_others(secured):
    properties = worker_properties(secured, "/plugins")
    factors = {properties[f"{kind}.storage.replication.factor"] for kind in ("config", "offset", "status")}
    assert factors == {"3"}


def test_sasl_without_a_user_is_told_before_anything_starts():
    with pytest.raises(ConfigurationError, match="HEADWATER_KAFKA_SASL_MECHANISM"):
        worker_properties(Settings(kafka_security_protocol="SASL_SSL"), "/plugins")
