"""Kafka settings for Spark."""

import pytest
from pydantic import SecretStr

from headwater.settings import Settings
from headwater.streaming.broker import spark_kafka_options


def test_reads_only_what_was_committed():
    assert spark_kafka_options(Settings(kafka_bootstrap_servers="b:1"))["kafka.isolation.level"] == "read_committed"


@pytest.mark.parametrize(
    ("mechanism", "module"), [("PLAIN", "plain.PlainLoginModule"), ("SCRAM-SHA-512", "scram.ScramLoginModule")]
)
def test_speaks_sasl_in_javas_words(mechanism: str, module: str):
    settings = Settings(
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism=mechanism,
        kafka_username="ann",
        kafka_password=SecretStr('a"b\\c'),
    )
    options = spark_kafka_options(settings)
    assert options["kafka.sasl.mechanism"] == mechanism
    assert options["kafka.sasl.jaas.config"] == (
        f'org.apache.kafka.common.security.{module} required username="ann" password="a\\"b\\\\c";'
    )
