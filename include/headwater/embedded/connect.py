"""Kafka Connect 4.3.1: one worker in distributed mode, which captures changes of the source with Debezium.

Everything it must remember (connectors, positions, states) lives in topics of the broker, so that a worker that was
killed goes on where it was. It is a JVM that only change data capture needs: `up` starts it where a contract is
captured or where it is named, and repairs it from then on.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from headwater.cdc.worker_properties import as_file, worker_environment, worker_properties
from headwater.embedded.downloads import locked
from headwater.embedded.errors import StartFailed
from headwater.embedded.health import http_body
from headwater.embedded.java import executable
from headwater.embedded.service import ProcessSpec, Service
from headwater.errors import ContractError
from headwater.settings import LOOPBACK, Settings

JVM = ("-Xms64m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")
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


def prepare(settings: Settings, bind: str = LOOPBACK) -> None:
    """Unpack the connector once, and write what the worker reads; `bind` is the address that it listens on."""
    folder = _folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    unpack(settings)
    _lay_out_plugins(settings)
    (folder / "log4j2.xml").write_text(LOG4J)
    properties = worker_properties(settings, str(folder / "plugins"), bind)
    (folder / "worker.properties").write_text(as_file(properties))


def unpack(settings: Settings) -> None:
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
    heap = f"-Xmx{settings.connect_memory}"
    command = (executable(settings), *JVM, heap, f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}", "-cp", jars)
    main = ("org.apache.kafka.connect.cli.ConnectDistributed", str(folder / "worker.properties"))
    return [
        ProcessSpec(
            name="connect",
            command=(*command, *main),
            healthy=lambda: healthy(settings),
            ports=(settings.connect_port,),
            environment=worker_environment(settings),
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
