"""A real Iceberg REST catalog for the tests: Apache Iceberg's own `RESTCatalogServer`, over the stack's Postgres.

It is the server of Iceberg's test fixtures (what the image `apache/iceberg-rest-fixture` runs). Its jars come by Ivy,
once, into `rest-catalog/` of the downloads; where they cannot be fetched the tests are skipped, saying so. The rest of
its class path are jars that the platform has anyway: PySpark's, and the driver of Postgres.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyspark
import pytest
from tests.conftest import free_port

from headwater.embedded.downloads import exclusive, ivy_command
from headwater.embedded.java import ensure_java
from headwater.environment import child_environment
from headwater.settings import LOOPBACK, Settings

OURS, JETTY, HTTP = "org.apache.iceberg:iceberg-", "org.eclipse.jetty:jetty-", "org.apache.httpcomponents."
MODULES = {
    f"{OURS}open-api:1.10.0:test-fixtures": "ec4dce1663933e3520227da8238a980d52b7eccac532c1953f337dc1e6ee597b",
    f"{OURS}core:1.10.0:tests": "caa79473e760a6ea0740888832d85868359142640d34f472cd565763bb9b90c7",
    f"{OURS}core:1.10.0:": "54091489dbdcb31b5a4514372abfc908a7b0be69f76e785f1e82279be4fbd6cc",
    f"{OURS}api:1.10.0:": "627061d401dba9d1a8cada2da6394640c2e803102bb676fb34e5f65503cf2c51",
    f"{OURS}common:1.10.0:": "5ce6ec8262b4c6f8151d9e36ebe013bd23ec0f310508173f72c43bc073d5f519",
    f"{OURS}bundled-guava:1.10.0:": "05b79072e19071b1bcf7a4e382d624b3b2ccad6eaf79627676219bb48e4e834d",
    f"{OURS}aws:1.10.0:": "fe9b8980fb79f6a89e94c6c8f61453f723403fdf00a9813e92d4a5954587c22a",
    # Its own AWS SDK: that of Spark's bundle is of another version than this Iceberg was made with.
    f"{OURS}aws-bundle:1.10.0:": "172370cfc32a5f1ae5399b210e86fc04a366dc29a112d97ac8ffc74df7525596",
    f"{HTTP}client5:httpclient5:5.5:": "496b4b0e8d5f3a8139a5d2638486d304758bac3a9c39d76989f663cfd9354fc9",
    f"{HTTP}core5:httpcore5:5.3.4:": "f2b2fd7a0164e8c3120cd8437bc9fea439239e165c17262b3e907daa7e979f80",
    f"{HTTP}core5:httpcore5-h2:5.3.4:": "1fb4f34e4b612e7c127ad693335583587850b17ce9b1c366f9de1ca49fe2c781",
    "dev.failsafe:failsafe:3.3.2:": "2c5dc879a6dac7ea3a7b29d795e27bd49b8e7908b05c2f3e56053c19d79850f5",
    f"{JETTY}server:11.0.26:": "3cc3b203b96c7115151ea94cad8af43c0914bfb6fe20cf2ca8378ec6822fa471",
    f"{JETTY}servlet:11.0.26:": "c09469f1045f9e207732692b3bc56e8fe4d0599de52d3bd593927c4a9060e679",
    f"{JETTY}http:11.0.26:": "de738c8cfd5701627b5373c42376453beb8276f989d75e5258e3b1ffe217e938",
    f"{JETTY}io:11.0.26:": "ce0ef76071e361d97f102e5cb48928b3cc66ac899d12be3ef0af8d06b4f768a1",
    f"{JETTY}util:11.0.26:": "1b61b875a6d40e8fd44cffb307bdb66f3459370a152a50a092a698c3737eeca9",
    f"{JETTY}security:11.0.26:": "1f0a1b58304741f243e2f6ac694e6506b1e26bb079cfc2baaa3f2a6ed4bf2d9f",
}
"""Organisation, name, revision and classifier of each jar, and its SHA-256."""
MAIN = "org.apache.iceberg.rest.RESTCatalogServer"
START_SECONDS = 60.0


@contextmanager
def running_rest_catalog(settings: Settings, folder: Path, properties: Mapping[str, str]) -> Iterator[str]:
    """The address of a server whose tables lie in the stack's Postgres, with these further catalog properties."""
    jars = jars_of(settings)
    java = ensure_java(settings).executable
    port = free_port()
    address = f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_catalog_database}"
    known = {
        "uri": f"jdbc:postgresql://{address}",
        "jdbc.user": settings.postgres_user,
        "jdbc.password": settings.postgres_password.get_secret_value(),
        "rest.port": str(port),
        **properties,
    }
    # As the server reads its environment: _ is a dot, __ a dash.
    variables = {f"CATALOG_{n.replace('-', '__').replace('.', '_').upper()}": v for n, v in known.items()}
    classpath = [*jars, *(Path(pyspark.__file__).parent / "jars").glob("*.jar")]
    classpath += [jar for jar in settings.jars_dir.glob("*.jar") if jar.name.startswith("postgresql")]
    command = [str(java), "-Xmx256m", "-cp", ":".join(map(str, classpath)), MAIN]
    with (folder / "rest-catalog.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=child_environment(variables))
    try:
        uri = f"http://{LOOPBACK}:{port}"
        deadline = time.monotonic() + START_SECONDS
        while not answers(uri):
            assert process.poll() is None, (folder / "rest-catalog.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "the REST catalog does not answer"
            time.sleep(0.1)
        yield uri
    finally:
        process.kill()
        process.wait(10)


def answers(uri: str) -> bool:
    try:
        with urllib.request.urlopen(f"{uri}/v1/config", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def jars_of(settings: Settings) -> list[Path]:
    """The server's own jars, fetched where they are missing; skips the test where they do not come."""
    folder = settings.downloads_dir / "rest-catalog"
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / ".lock"):
        wanted = {folder / _file(module): sha256 for module, sha256 in MODULES.items()}
        if not all(jar.exists() for jar in wanted):
            _fetch(settings, folder)
    for jar, sha256 in wanted.items():
        if not jar.exists():
            pytest.skip(f"no REST catalog: {jar.name} did not come, see {folder / 'ivy.log'}")
        assert hashlib.sha256(jar.read_bytes()).hexdigest() == sha256, f"{jar.name} is not what it was"
    return list(wanted)


def _fetch(settings: Settings, folder: Path) -> None:
    dependencies = "\n".join(map(_dependency, sorted({module.rpartition(":")[0] for module in MODULES})))
    pattern = "[artifact]-[revision](-[classifier]).[ext]"
    command = ivy_command(ensure_java(settings).executable, folder, dependencies, ["rest"], pattern, poms=False)
    with (folder / "ivy.log").open("wb") as log:
        subprocess.run(command, stdout=log, stderr=log, timeout=300, check=False)
    for jar in (folder / "files").glob("*.jar"):
        jar.replace(folder / jar.name)


def _dependency(module: str) -> str:
    """All artifacts of a module: Ivy takes one element for each module."""
    organisation, name, revision = module.split(":")
    of_module = [known.rpartition(":")[2] for known in MODULES if known.startswith(f"{module}:")]
    artifacts = "".join(f'<artifact name="{name}" type="jar" ext="jar"{_marked(one)}/>' for one in of_module)
    head = f'<dependency org="{organisation}" name="{name}" rev="{revision}" conf="rest->default" transitive="false">'
    return f"{head}{artifacts}</dependency>"


def _marked(classifier: str) -> str:
    return f' m:classifier="{classifier}"' if classifier else ""


def _file(module: str) -> str:
    _, name, revision, classifier = module.split(":")
    return f"{name}-{revision}{f'-{classifier}' if classifier else ''}.jar"
