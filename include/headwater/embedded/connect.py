"""Kafka Connect 4.3.1: one worker in distributed mode, which captures changes of the source with Debezium.

Everything it must remember (connectors, positions, states) lives in topics of the broker, so that a worker that was
killed goes on where it was. It is a JVM that only change data capture needs: `up` starts it where a contract is
captured or where it is named, and repairs it from then on.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from headwater.embedded.downloads import locked
from headwater.embedded.errors import StartFailed
from headwater.embedded.health import http_body
from headwater.embedded.java import executable
from headwater.embedded.service import ProcessSpec, Service
from headwater.errors import ConfigurationError, ContractError
from headwater.settings import LOOPBACK, Settings

JVM = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")
GROUP = "headwater-connect"
SECRETS = ("HEADWATER_POSTGRES_PASSWORD", "HEADWATER_REGISTRY_PASSWORD")
"""What a connector's configuration may take from the worker's environment (`${env:…}`): REST shows the name only."""
PROPERTIES = {
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
    # There is one worker: after a kill nobody else may come back, and by default its successor waits five minutes.
    "scheduled.rebalance.max.delay.ms": "0",
    "session.timeout.ms": "6000",
    "heartbeat.interval.ms": "2000",
    # The plugins are known; scanning every class of theirs takes seconds of each start.
    "plugin.discovery": "service_load",
    "config.providers": "env",
    "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
    "config.providers.env.param.allowlist.pattern": "|".join(SECRETS),
}
LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="warn">
  <Appenders><Console name="out"><PatternLayout pattern="%d{ISO8601}{UTC}Z %-5p %c{1} %m%n"/></Console></Appenders>
  <Loggers>
    <Logger name="org.apache.kafka" level="warn"/>
    <Logger name="org.apache.kafka.connect" level="info"/>
    <Logger name="org.apache.kafka.connect.runtime.rest.RestServer" level="warn"/>
    <Logger name="org.eclipse.jetty" level="warn"/>
    <Root level="info"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"""


def _folder(settings: Settings) -> Path:
    return settings.home / "connect"


def _debezium(settings: Settings) -> Path:
    """The unpacked connector; beside its archive, so that homes which share downloads share it too."""
    return settings.downloads_dir / "connect-debezium" / "app"


def prepare(settings: Settings) -> None:
    """Unpack the connector once, and write what the worker reads. Raises ConfigurationError for a broker with SASL."""
    if settings.kafka_security_protocol != "PLAINTEXT":
        raise ConfigurationError(
            f"the embedded worker does not speak {settings.kafka_security_protocol}",
            where="HEADWATER_KAFKA_SECURITY_PROTOCOL",
            remedy="run a worker beside your own broker, and set HEADWATER_CONNECT_URL to its REST address",
        )
    folder = _folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    _unpack(settings)
    _lay_out_plugins(settings)
    (folder / "log4j2.xml").write_text(LOG4J)
    properties = PROPERTIES | {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "listeners": f"http://{LOOPBACK}:{settings.connect_port}",
        "rest.advertised.host.name": LOOPBACK,
        "plugin.path": str(folder / "plugins"),
    }
    properties |= {
        f"{kind}.storage.replication.factor": str(settings.kafka_replication_factor)
        for kind in ("config", "offset", "status")
    }
    (folder / "worker.properties").write_text("".join(f"{name}={value}\n" for name, value in properties.items()))


def _unpack(settings: Settings) -> None:
    """Unpack Debezium whole or not at all."""
    if _debezium(settings).exists():
        return
    half = _debezium(settings).with_suffix(".new")
    shutil.rmtree(half, ignore_errors=True)
    with tarfile.open(settings.downloads_dir / _files("connect-debezium")[0]) as archive:
        archive.extractall(half, filter="data")
    half.rename(_debezium(settings))


def _files(group: str) -> list[str]:
    return [file.path for file in locked() if file.group == group]


def _lay_out_plugins(settings: Settings) -> None:
    """A folder for each plugin, made of links: the worker takes every folder below its plugin path for one."""
    plugins = _folder(settings) / "plugins"
    shutil.rmtree(plugins, ignore_errors=True)
    plugins.mkdir()
    connector = next(_debezium(settings).glob("debezium-connector-postgres*"), None)
    if connector is None:
        raise StartFailed("no connector is in its archive", where=str(_debezium(settings)), remedy="remove the folder")
    (plugins / "debezium").symlink_to(connector, target_is_directory=True)
    (plugins / "avro").symlink_to(settings.downloads_dir / "connect-avro", target_is_directory=True)


def processes(settings: Settings) -> list[ProcessSpec]:
    """The one process of the worker."""
    folder = _folder(settings)
    jars = ":".join(str(settings.downloads_dir / group / "*") for group in ("connect", "kafka"))
    command = (executable(settings), *JVM, f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}", "-cp", jars)
    main = ("org.apache.kafka.connect.cli.ConnectDistributed", str(folder / "worker.properties"))
    password = settings.postgres_password.get_secret_value()
    registry = settings.registry_password.get_secret_value()
    return [
        ProcessSpec(
            name="connect",
            command=(*command, *main),
            healthy=lambda: healthy(settings),
            ports=(settings.connect_port,),
            environment=dict(zip(SECRETS, (password, registry), strict=True)),
            directory=folder,
        )
    ]


def healthy(settings: Settings) -> bool:
    """Whether the worker has joined its group and can take requests."""
    return http_body(f"http://{LOOPBACK}:{settings.connect_port}/health") is not None


def settle(settings: Settings) -> None:
    """Start tasks again that have failed: what made them fail may have been repaired just now."""
    from headwater.cdc.worker import Worker

    with Worker(settings) as worker:
        for name in worker.connectors():
            worker.restart_failed(name)


def idle(settings: Settings) -> str:
    """Why nobody needs a worker: no contract is captured, or the contracts cannot be read."""
    from headwater.contracts.loader import load_contracts

    try:
        datasets = load_contracts(settings.contracts_dir).datasets.values()
    except ContractError:
        return "the contracts have faults; see `headwater contract check`"
    return "" if any(dataset.captured for dataset in datasets) else "no contract captures changes"


SERVICE = Service(
    name="connect",
    title="Kafka Connect 4.3.1",
    processes=processes,
    address=lambda settings: settings.connect_url,
    prepare=prepare,
    settle=settle,
    idle=idle,
    needs=("postgres", "kafka", "registry"),
    downloads=("kafka", "connect", "connect-avro", "connect-debezium"),
    java=True,
    elsewhere=lambda settings: settings.connect_url != f"http://{LOOPBACK}:{settings.connect_port}",
    data=lambda settings: [_folder(settings)],
)
