"""How any client of this platform connects to Kafka: librdkafka's and Java's settings, both from ours."""

from __future__ import annotations

from pathlib import Path

from headwater.errors import ConfigurationError
from headwater.settings import Settings, get_settings


def client_config(settings: Settings | None = None, **extra: str | int | bool) -> dict[str, str | int | bool]:
    """Settings for a confluent-kafka client: address, TLS, SASL; `extra` in librdkafka's names with `_` for `.`.

    Holds the password: for the client, never for a log. Raises `ConfigurationError` where SASL lacks its mechanism.
    """
    settings = settings or get_settings()
    config: dict[str, str | int | bool] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "client.id": "headwater",
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        if not (settings.kafka_sasl_mechanism and settings.kafka_username):
            raise ConfigurationError(
                f"{settings.kafka_security_protocol} needs a mechanism and a user name",
                where="HEADWATER_KAFKA_SECURITY_PROTOCOL",
                remedy="set HEADWATER_KAFKA_SASL_MECHANISM and HEADWATER_KAFKA_USERNAME (and _PASSWORD)",
            )
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
        config["sasl.username"] = settings.kafka_username
        config["sasl.password"] = settings.kafka_password.get_secret_value()
    files = {
        "ssl.ca.location": settings.kafka_ssl_ca_location,
        "ssl.certificate.location": settings.kafka_ssl_certificate_location,
        "ssl.key.location": settings.kafka_ssl_key_location,
    }
    config.update({name: path for name, path in files.items() if path})
    # librdkafka's one name that has an underscore of its own
    config.update({n if n == "log_level" else n.replace("_", "."): value for n, value in extra.items()})
    return config


JAVA_SECRETS = ("sasl.jaas.config", "ssl.keystore.key")
"""Of `java_security`: what may stand in no file and no log."""


def java_security(settings: Settings) -> dict[str, str]:
    """Protocol, TLS and SASL in the words of Kafka's Java clients; raises as `client_config` does, holds secrets."""
    client = client_config(settings)
    options = {"security.protocol": str(client["security.protocol"])}
    if "sasl.mechanism" in client:
        scram = str(client["sasl.mechanism"]).startswith("SCRAM")
        module = "scram.ScramLoginModule" if scram else "plain.PlainLoginModule"
        user, password = (_quoted(str(client[key])) for key in ("sasl.username", "sasl.password"))
        options["sasl.mechanism"] = str(client["sasl.mechanism"])
        options["sasl.jaas.config"] = (
            f"org.apache.kafka.common.security.{module} required username={user} password={password};"
        )
    if settings.kafka_ssl_ca_location:
        options |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": settings.kafka_ssl_ca_location}
    if settings.kafka_ssl_certificate_location:
        options |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": Path(settings.kafka_ssl_certificate_location).read_text(),
            "ssl.keystore.key": Path(settings.kafka_ssl_key_location).read_text(),
        }
    return options


def _quoted(text: str) -> str:
    """A value of a JAAS configuration."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
