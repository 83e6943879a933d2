"""The Kafka 4.3.1 broker in KRaft mode (broker and controller in one process), from its own jars.

Topics are made by `headwater contract apply`, never by a client's typing error: auto-creation is off. Nothing expires
by default, since the demo's records carry the time of their events (2017); a topic's contract sets its retention.
"""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from headwater.embedded.errors import StartFailed
from headwater.embedded.health import listens
from headwater.embedded.java import executable
from headwater.embedded.service import ProcessSpec, Service
from headwater.settings import LOOPBACK, Settings

HEAP = ("-Xms256m", "-Xmx512m")
JVM = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true")
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "num.partitions": "4",
    "num.network.threads": "3",
    "num.io.threads": "4",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.ms": "-1",
    # Values up to 10 MB must reach bronze and be judged there.
    "message.max.bytes": str(16 * 1024 * 1024),
    "replica.fetch.max.bytes": str(16 * 1024 * 1024),
}
LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="warn">
  <Appenders><Console name="out"><PatternLayout pattern="%d{ISO8601}{UTC}Z %-5p %c{1} %m%n"/></Console></Appenders>
  <Loggers>
    <Logger name="org.apache.kafka.clients" level="warn"/>
    <Root level="info"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"""


def _folder(settings: Settings) -> Path:
    return settings.home / "kafka"


def _java(settings: Settings, *arguments: str) -> tuple[str, ...]:
    jars = settings.downloads_dir / "kafka" / "*"
    logging = f"-Dlog4j2.configurationFile={_folder(settings) / 'log4j2.xml'}"
    return (executable(settings), *HEAP, *JVM, logging, "-cp", str(jars), *arguments)


def prepare(settings: Settings) -> None:
    """Write the broker's properties and format its storage once; a half-finished format is made good."""
    folder = _folder(settings)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "log4j2.xml").write_text(LOG4J)
    properties = PROPERTIES | {
        "log.dirs": str(folder / "data"),
        "listeners": f"PLAINTEXT://{LOOPBACK}:{settings.kafka_port},CONTROLLER://{LOOPBACK}:{settings.kafka_controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{settings.kafka_port}",
        "controller.quorum.voters": f"1@{LOOPBACK}:{settings.kafka_controller_port}",
    }
    (folder / "server.properties").write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    if (folder / "data" / "meta.properties").exists():
        return
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
    command = _java(settings, "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster)
    answer = subprocess.run(
        [*command, "-c", str(folder / "server.properties")], capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        raise StartFailed(f"storage could not be formatted: {answer.stdout}{answer.stderr}", where="kafka")


def processes(settings: Settings) -> list[ProcessSpec]:
    """The one process that is broker and controller."""
    return [
        ProcessSpec(
            name="kafka",
            command=_java(settings, "kafka.Kafka", str(_folder(settings) / "server.properties")),
            healthy=lambda: healthy(settings),
            ports=(settings.kafka_port, settings.kafka_controller_port),
            directory=_folder(settings),
            grace_seconds=30,
        )
    ]


def healthy(settings: Settings) -> bool:
    """Whether the broker tells a client about its cluster."""
    if not listens(settings.kafka_port):
        return False
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{settings.kafka_port}", "log_level": 0})
    try:
        return bool(client.list_topics(timeout=5).brokers)
    except KafkaException:
        return False


SERVICE = Service(
    name="kafka",
    title="Kafka 4.3.1",
    processes=processes,
    address=lambda settings: settings.kafka_bootstrap_servers,
    prepare=prepare,
    downloads=("kafka",),
    java=True,
    elsewhere=lambda settings: settings.kafka_bootstrap_servers != f"{LOOPBACK}:{settings.kafka_port}",
    data=lambda settings: [_folder(settings)],
)
