"""Makes `downloads.lock` anew: `python -m headwater.embedded.locking`, after a change of `WANTED`.

Resolves what is wanted (with its dependencies only where asked), fetches it, and writes each file with its SHA-256.
Review the difference before it is committed: the lock is what everybody else's downloads are held to.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import typer

from headwater.embedded.downloads import LOCK, ivy_command, sha256
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


WANTED = (
    Wanted("kafka", "org.apache.kafka:kafka_2.13:4.3.1", transitive=True),
    Wanted("kafka", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"),
    Wanted("registry", "io.apicurio:apicurio-registry-app:3.0.9", kind="tar.gz", classifier="all"),
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


def main() -> None:
    """Write the lock."""
    with tempfile.TemporaryDirectory() as directory:
        files = _resolve([w for w in WANTED if w.transitive], True, Path(directory) / "with")
        files |= _resolve([w for w in WANTED if not w.transitive], False, Path(directory) / "without")
        lines = ["# Written by `python -m headwater.embedded.locking`; do not edit.\n"]
        for path, (module, place) in sorted(files.items()):
            lines.append(
                f'\n[[file]]\npath = "{path}"\nmodule = "{module}"\n'
                f'sha256 = "{sha256(place)}"\nsize = {place.stat().st_size}\n'
            )
    LOCK.write_text("".join(lines))
    typer.echo(f"{len(files)} files in {LOCK}")


if __name__ == "__main__":
    main()
