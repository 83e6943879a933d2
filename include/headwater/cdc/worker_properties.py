"""What a Kafka Connect worker is told, in the embedded stack and in a deployment: made of settings alone.

Everything it must remember (connectors, positions, states) lies in topics of the broker. It connects to Kafka as every
other client of the platform does, by the same settings. No secret is written down: what is one stands as a reference
`${env:NAME}`, which the worker resolves from its environment (KIP-421), so neither its file nor its REST has it.
"""

from __future__ import annotations

from headwater.kafka import JAVA_SECRETS, java_security
from headwater.settings import LOOPBACK, Settings

GROUP = "headwater-connect"
JAAS, TLS_KEY = "KAFKA_JAAS_CONFIG", "KAFKA_TLS_KEY"
REFERENCES = dict(zip(JAVA_SECRETS, (JAAS, TLS_KEY), strict=True))
CONNECTOR_SECRETS = ("HEADWATER_POSTGRES_PASSWORD", "HEADWATER_CAPTURE_PASSWORD", "HEADWATER_REGISTRY_PASSWORD")
"""What a connector's configuration refers to: of the first two only one."""
CLIENTS = ("", "producer.", "consumer.", "admin.")
"""The worker's own client, and those that it makes for connectors: each takes its security from its own prefix."""
FIXED = {
    "group.id": GROUP,
    "config.storage.topic": f"{GROUP}-configs",
    "offset.storage.topic": f"{GROUP}-offsets",
    "offset.storage.partitions": "1",
    "status.storage.topic": f"{GROUP}-status",
    "status.storage.partitions": "1",
    "key.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    # What was sent after the last flush is sent once more after a kill.
    "offset.flush.interval.ms": "1000",
    # One connector with one task: whoever is left takes it at once. By default a lost worker is awaited for 5 minutes.
    "scheduled.rebalance.max.delay.ms": "0",
    "session.timeout.ms": "6000",
    "heartbeat.interval.ms": "2000",
    # The plugins are known; scanning every class of theirs takes seconds of each start.
    "plugin.discovery": "service_load",
    "config.providers": "env",
    "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
    "config.providers.env.param.allowlist.pattern": "|".join((*CONNECTOR_SECRETS, JAAS, TLS_KEY)),
}


def worker_properties(settings: Settings, plugins: str, bind: str = LOOPBACK) -> dict[str, str]:
    """The worker's properties; `plugins` is the folder of its plugins. Raises `ConfigurationError` as other clients do.

    Elsewhere than on loopback other workers of the group reach it by `connect_advertised_host`.
    """
    security = {name: _reference(name, value) for name, value in java_security(settings).items()}
    kinds = ("config", "offset", "status")
    return {
        **FIXED,
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        **{f"{client}{name}": value for client in CLIENTS for name, value in security.items()},
        **{f"{kind}.storage.replication.factor": str(settings.kafka_replication_factor) for kind in kinds},
        "listeners": f"http://{bind}:{settings.connect_port}",
        "rest.advertised.host.name": LOOPBACK if bind == LOOPBACK else settings.connect_advertised_host,
        "plugin.path": plugins,
    }


def worker_environment(settings: Settings) -> dict[str, str]:
    """The secrets that properties and connectors refer to: for the worker's process alone."""
    security = java_security(settings)
    platform, capture, registry = CONNECTOR_SECRETS
    own = {REFERENCES[name]: security[name] for name in JAVA_SECRETS if name in security}
    own[registry] = settings.registry_password.get_secret_value()
    if settings.capture_user:
        return own | {capture: settings.capture_password.get_secret_value()}
    return own | {platform: settings.postgres_password.get_secret_value()}


def as_file(properties: dict[str, str]) -> str:
    """The text of a properties file."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in properties.items())


def _reference(name: str, value: str) -> str:
    return f"${{env:{REFERENCES[name]}}}" if name in REFERENCES else value


def _escaped(value: str) -> str:
    """A value as Java's `Properties` reads it: a certificate has several lines."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")
