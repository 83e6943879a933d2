"""Makes `downloads.lock` anew: `python -m headwater.embedded.locking [GROUP…]`, after a change of `WANTED`.

Resolves what is wanted (with its dependencies only where asked), fetches it, and writes each file with its SHA-256.
Review the difference before it is committed: the lock is what everybody else's downloads are held to.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from headwater.embedded.downloads import LOCK, Locked, ivy_command, locked, sha256
from headwater.embedded.java import ensure_java
from headwater.settings import get_settings


@dataclass(frozen=True)
class Wanted:
    """A module to lock; with its dependencies where `transitive`."""

    group: str
    module: str
    transitive: bool = False
    kind: str = "jar"
    classifier: str = ""


AVRO_CONVERTER = (
    *(
        f"io.apicurio:apicurio-registry-{name}:3.0.9"
        for name in (
            "avro-serde-kafka",
            "common",
            "jsonschema-serde-kafka",
            "schema-resolver",
            "serde-common",
            "serde-common-avro",
            "serde-common-jsonschema",
            "serde-kafka-common",
            "utils-converter",
        )
    ),
    # Of this one 3.0.9 is not to be had.
    "io.apicurio:apicurio-registry-java-sdk:3.0.7",
    "org.apache.avro:avro:1.12.0",
    "commons-codec:commons-codec:1.17.0",
    "org.apache.commons:commons-compress:1.26.2",
    "commons-io:commons-io:2.16.1",
    "org.apache.commons:commons-lang3:3.14.0",
    "com.ethlo.time:itu:1.10.3",
    "com.fasterxml.jackson.core:jackson-annotations:2.16.2",
    "com.fasterxml.jackson.core:jackson-core:2.17.2",
    "com.fasterxml.jackson.core:jackson-databind:2.16.2",
    "com.fasterxml.jackson.dataformat:jackson-dataformat-yaml:2.18.1",
    "com.fasterxml.jackson.datatype:jackson-datatype-jdk8:2.16.2",
    "com.fasterxml.jackson.module:jackson-module-afterburner:2.16.2",
    "jakarta.annotation:jakarta.annotation-api:3.0.0",
    "jakarta.validation:jakarta.validation-api:3.0.2",
    "jakarta.ws.rs:jakarta.ws.rs-api:3.1.0",
    "javax.ws.rs:javax.ws.rs-api:2.1.1",
    "org.json:json:20250107",
    "com.networknt:json-schema-validator:1.5.5",
    *(f"io.kiota:kiota-{name}:0.0.21" for name in ("http-jdk", "http-vertx", "serialization-jackson")),
    "com.microsoft.kiota:microsoft-kiota-abstractions:1.8.4",
    *(f"com.microsoft.kiota:microsoft-kiota-serialization-{name}:1.8.4" for name in ("form", "multipart", "text")),
    *(
        f"io.netty:netty-{name}:4.1.118.Final"
        for name in (
            "buffer",
            "codec",
            "codec-dns",
            "codec-http",
            "codec-http2",
            "codec-socks",
            "common",
            "handler",
            "handler-proxy",
            "resolver",
            "resolver-dns",
            "transport",
            "transport-native-unix-common",
        )
    ),
    "io.opentelemetry:opentelemetry-api:1.47.0",
    "io.opentelemetry:opentelemetry-context:1.47.0",
    "org.yaml:snakeyaml:2.3",
    "io.github.std-uritemplate:std-uritemplate:2.0.0",
    *(
        f"io.vertx:vertx-{name}:4.5.13"
        for name in ("auth-common", "auth-oauth2", "core", "uri-template", "web-client", "web-common")
    ),
)
"""Apicurio's Avro converter for Kafka Connect and what it needs, one by one: its parent POM is not to be had."""
ICEBERG_SINK = (
    *(
        f"org.apache.iceberg:iceberg-{name}:1.12.0"
        for name in (
            "api",
            "bundled-guava",
            "common",
            "core",
            "data",
            "kafka-connect",
            "kafka-connect-events",
            "orc",
            "parquet",
        )
    ),
    *(
        f"org.apache.parquet:parquet-{name}:1.17.1"
        for name in ("avro", "column", "common", "encoding", "format-structures", "hadoop", "jackson")
    ),
    "org.apache.hadoop:hadoop-client-api:3.4.2",
    "org.apache.hadoop:hadoop-client-runtime:3.4.2",
    "org.apache.avro:avro:1.12.2",
    "com.github.ben-manes.caffeine:caffeine:3.2.4",
    "org.roaringbitmap:RoaringBitmap:1.6.23",
    "org.apache.httpcomponents.client5:httpclient5:5.6.4",
    "org.locationtech.jts:jts-core:1.20.0",
    "com.fasterxml.jackson.core:jackson-annotations:2.16.2",
    "com.fasterxml.jackson.core:jackson-core:2.17.2",
    "com.fasterxml.jackson.core:jackson-databind:2.16.2",
    "com.github.luben:zstd-jni:1.5.6-4",
    "org.xerial.snappy:snappy-java:1.1.10.5",
    "org.slf4j:slf4j-api:2.0.17",
    "org.postgresql:postgresql:42.7.8",
)
"""Iceberg's own sink for Kafka Connect: a peer of the benchmark (bench/peer_kafka_connect.py), and nothing else."""
BESIDE = {"connect": "kafka"}
"""The worker's class path has the broker's jars too, so a module that is there already is not locked again."""
WANTED = (
    Wanted("kafka", "org.apache.kafka:kafka_2.13:4.3.1", transitive=True),
    Wanted("kafka", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"),
    Wanted("registry", "io.apicurio:apicurio-registry-app:3.0.9", kind="tar.gz", classifier="all"),
    Wanted("connect", "org.apache.kafka:connect-runtime:4.3.1", transitive=True),
    Wanted(
        "connect-debezium", "io.debezium:debezium-connector-postgres:3.7.0.Final", kind="tar.gz", classifier="plugin"
    ),
    *(Wanted("connect-avro", module) for module in AVRO_CONVERTER),
    *(Wanted("connect-iceberg", module) for module in ICEBERG_SINK),
    Wanted("spark", "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0"),
    Wanted("spark", "org.apache.iceberg:iceberg-aws-bundle:1.12.0"),
    Wanted("spark", "org.apache.spark:spark-sql-kafka-0-10_2.13:4.1.1"),
    # The newest to be had; works with 4.1.1.
    Wanted("spark", "org.apache.spark:spark-token-provider-kafka-0-10_2.13:4.0.0"),
    Wanted("spark", "org.apache.kafka:kafka-clients:3.9.1"),
    Wanted("spark", "org.apache.commons:commons-pool2:2.12.1"),
    Wanted("spark", "org.apache.spark:spark-avro_2.13:4.1.1"),
    Wanted("spark", "io.openlineage:openlineage-spark_2.13:1.53.0"),
    Wanted("spark", "org.postgresql:postgresql:42.7.8"),
    Wanted("spark", "com.clickhouse:clickhouse-jdbc:0.9.9", classifier="all"),
)
PATTERN = "[conf]/[organisation]/[module]/[revision]/[artifact]-[revision](-[classifier]).[ext]"


def _dependency(wanted: Wanted) -> str:
    organisation, name, revision = wanted.module.split(":")
    classifier = f' m:classifier="{wanted.classifier}"' if wanted.classifier else ""
    if wanted.transitive:
        conf, artifact = "runtime(*),master(*)", ""
    else:
        conf = "default"
        artifact = f'<artifact name="{name}" type="{wanted.kind}" ext="{wanted.kind}"{classifier}/>'
    head = f'org="{organisation}" name="{name}" rev="{revision}"'
    transitive = str(wanted.transitive).lower()
    return f'<dependency {head} conf="{wanted.group}->{conf}" transitive="{transitive}">{artifact}</dependency>'


def _resolve(wanted: list[Wanted], poms: bool, work: Path) -> dict[str, tuple[str, Path]]:
    """Fetch; for each `<group>/<file>` its module and where it lies. Parent POMs of some modules are not to be had."""
    if not wanted:
        return {}
    work.mkdir()
    java = ensure_java(get_settings()).executable
    dependencies = "\n".join(_dependency(one) for one in wanted)
    subprocess.run(ivy_command(java, work, dependencies, [w.group for w in wanted], PATTERN, poms), check=True)
    found = {}
    for path in (work / "files").rglob("*.*"):
        if path.is_file():
            group, organisation, module, revision, name = path.relative_to(work / "files").parts
            found[f"{group}/{name}"] = (f"{organisation}:{module}:{revision}", path)
    return found


def main(groups: Annotated[list[str] | None, typer.Argument(help="Only these groups; the others stay")] = None) -> None:
    """Write the lock."""
    wanted = [one for one in WANTED if not groups or one.group in groups]
    with tempfile.TemporaryDirectory() as directory:
        found = _resolve([w for w in wanted if w.transitive], True, Path(directory) / "with")
        found |= _resolve([w for w in wanted if not w.transitive], False, Path(directory) / "without")
        files = [Locked(path, module, sha256(place), place.stat().st_size) for path, (module, place) in found.items()]
    files += [file for file in (locked() if groups else ()) if file.group not in (groups or ())]
    entries = list(_entries(files))
    LOCK.write_text("# Written by `python -m headwater.embedded.locking`; do not edit.\n" + "".join(entries))
    typer.echo(f"{len(entries)} files in {LOCK}")


def _entries(files: list[Locked]) -> Iterator[str]:
    """The lock's text for these files, in order, without what a group finds beside it."""
    there = {(file.group, file.module) for file in files}
    for file in sorted(files, key=lambda one: one.path):
        if (BESIDE.get(file.group), file.module) not in there:
            head = f'\n[[file]]\npath = "{file.path}"\nmodule = "{file.module}"\n'
            yield f'{head}sha256 = "{file.sha256}"\nsize = {file.size}\n'


if __name__ == "__main__":
    typer.run(main)
