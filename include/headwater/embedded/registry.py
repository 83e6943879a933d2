"""The schema registry: Apicurio 3.0.9, which speaks Confluent's API at `/apis/ccompat/v7`.

Its storage is `kafkasql`: every schema lives in a topic of the broker, so the registry itself has nothing to lose.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from headwater.embedded.downloads import locked
from headwater.embedded.health import http_body
from headwater.embedded.java import executable
from headwater.embedded.service import ProcessSpec, Service
from headwater.settings import LOOPBACK, Settings

JVM = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")


def _archive(settings: Settings) -> Path:
    return settings.downloads_dir / next(file.path for file in locked() if file.group == "registry")


def _application(settings: Settings) -> Path:
    """The unpacked application; beside its archive, so that homes which share downloads share it too."""
    return settings.downloads_dir / "registry" / "app"


def prepare(settings: Settings) -> None:
    """Unpack the archive once, whole or not at all."""
    (settings.home / "registry").mkdir(parents=True, exist_ok=True)
    if _application(settings).exists():
        return
    half = _application(settings).with_suffix(".new")
    shutil.rmtree(half, ignore_errors=True)
    with tarfile.open(_archive(settings)) as archive:
        archive.extractall(half, filter="data")
    half.rename(_application(settings))


def processes(settings: Settings) -> list[ProcessSpec]:
    """The one process of the registry."""
    runner = next(_application(settings).glob("apicurio-registry-app-*-runner.jar"), _application(settings) / "missing")
    environment = {
        "APICURIO_STORAGE_KIND": "kafkasql",
        "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "QUARKUS_HTTP_HOST": LOOPBACK,
        "QUARKUS_HTTP_PORT": str(settings.registry_port),
        "QUARKUS_LOG_CONSOLE_COLOR": "false",
    }
    return [
        ProcessSpec(
            name="registry",
            command=(executable(settings), *JVM, "-jar", str(runner)),
            healthy=lambda: healthy(settings),
            ports=(settings.registry_port,),
            environment=environment,
            directory=settings.home / "registry",
        )
    ]


def healthy(settings: Settings) -> bool:
    """Whether it lists its subjects, for which its journal in Kafka must have been read."""
    return http_body(f"http://{LOOPBACK}:{settings.registry_port}/apis/ccompat/v7/subjects") is not None


SERVICE = Service(
    name="registry",
    title="Schema registry (Apicurio 3.0.9)",
    processes=processes,
    address=lambda settings: settings.registry_url,
    prepare=prepare,
    needs=("kafka",),
    downloads=("registry",),
    java=True,
    elsewhere=lambda settings: not settings.registry_url.startswith(f"http://{LOOPBACK}:{settings.registry_port}/"),
    data=lambda settings: [settings.home / "registry"],
)
