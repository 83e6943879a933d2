"""How settings become librdkafka's."""

import pytest

from headwater.errors import ConfigurationError
from headwater.kafka import client_config
from headwater.settings import Settings


def test_the_embedded_broker_needs_no_security():
    config = client_config(Settings(kafka_bootstrap_servers="127.0.0.1:9092"))
    assert config == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "PLAINTEXT",
        "client.id": "headwater",
    }


def test_sasl_and_tls_come_from_the_settings():
    settings = Settings(
        kafka_bootstrap_servers="kafka.example.com:9093",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_username="headwater",
        kafka_password="secret",
        kafka_ssl_ca_location="/etc/ssl/kafka.pem",
    )
    config = client_config(settings, acks="all")
    assert config["sasl.mechanism"] == "SCRAM-SHA-512"
    assert (config["sasl.username"], config["sasl.password"]) == ("headwater", "secret")
    assert config["ssl.ca.location"] == "/etc/ssl/kafka.pem"
    assert config["acks"] == "all"


def test_sasl_without_a_mechanism_is_refused():
    with pytest.raises(ConfigurationError, match="HEADWATER_KAFKA_SASL_MECHANISM"):
        client_config(Settings(kafka_security_protocol="SASL_SSL", kafka_username="headwater"))
