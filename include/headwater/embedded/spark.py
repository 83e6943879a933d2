"""One warm Spark: a Spark Connect server for the batch tasks, which would else pay 8 to 10 s for each start of a JVM.

Its configuration is that of every other session (`headwater.lake.sessions`), in a private properties file, since it
holds the catalog's password.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from headwater.embedded.health import listens
from headwater.embedded.java import environment
from headwater.embedded.service import ProcessSpec, Service
from headwater.settings import LOOPBACK, Settings

SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"
HEALTH_SESSION = "00000000-0000-4000-8000-000000000000"
"""One session for all health checks, so that they leave no others behind."""

LOG4J = """rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601}{UTC}Z %-5p %c{1} %m%n%ex
"""


def _folder(settings: Settings) -> Path:
    return settings.home / "spark"


def _properties(settings: Settings) -> Path:
    return _folder(settings) / "connect.conf"


def spark_home() -> Path:
    """PySpark's wheel is a Spark of its own. Found without importing it, which would cost a second."""
    from importlib.util import find_spec

    spec = find_spec("pyspark")
    return Path(spec.origin).parent if spec and spec.origin else Path("pyspark-is-not-installed")


def prepare(settings: Settings) -> None:
    """Write the server's properties and what it logs."""
    from headwater.lake.sessions import write_spark_properties

    for name in ("local", "conf"):
        (_folder(settings) / name).mkdir(parents=True, exist_ok=True)
    (_folder(settings) / "conf" / "log4j2.properties").write_text(LOG4J)
    write_spark_properties(_properties(settings))


def processes(settings: Settings) -> list[ProcessSpec]:
    """The server's JVM; `spark-submit` replaces itself with it, so the pid is the JVM's."""
    command = [str(spark_home() / "bin" / "spark-submit"), "--class", SERVER, "--name", "headwater"]
    command += ["--properties-file", str(_properties(settings))]
    command += ["--conf", f"spark.connect.grpc.binding.address={LOOPBACK}"]
    command += ["--conf", f"spark.connect.grpc.binding.port={settings.spark_connect_port}"]
    # A job that was killed leaves a session with connections to Postgres behind.
    command += ["--conf", "spark.connect.session.manager.defaultSessionTimeout=10m", "spark-internal"]
    return [
        ProcessSpec(
            name="spark",
            command=tuple(command),
            healthy=lambda: healthy(settings),
            ports=(settings.spark_connect_port,),
            environment={
                **environment(settings),
                "SPARK_HOME": str(spark_home()),
                "SPARK_CONF_DIR": str(_folder(settings) / "conf"),
                "PYSPARK_PYTHON": sys.executable,
            },
            directory=_folder(settings),
        )
    ]


def is_embedded_and_down(settings: Settings) -> bool:
    """Whether batch jobs are meant to use the embedded server, and nothing listens there."""
    embedded = f"sc://{LOOPBACK}:{settings.spark_connect_port}"
    return settings.spark_remote == embedded and not listens(settings.spark_connect_port)


def healthy(settings: Settings) -> bool:
    """Whether the server tells its version."""
    if not listens(settings.spark_connect_port):
        return False
    import grpc
    from pyspark.sql.connect.proto import AnalyzePlanRequest, SparkConnectServiceStub, UserContext

    ask: Any = SparkConnectServiceStub
    request = AnalyzePlanRequest(
        session_id=HEALTH_SESSION,
        user_context=UserContext(user_id="health"),
        spark_version=AnalyzePlanRequest.SparkVersion(),
    )
    with grpc.insecure_channel(f"{LOOPBACK}:{settings.spark_connect_port}") as channel:
        try:
            answer = ask(channel).AnalyzePlan(request, timeout=5)
        except grpc.RpcError:
            return False
    return bool(answer.spark_version.version)


SERVICE = Service(
    name="spark",
    title="Spark 4.1.1 (Connect server)",
    processes=processes,
    address=lambda settings: f"sc://{LOOPBACK}:{settings.spark_connect_port}",
    prepare=prepare,
    needs=("postgres",),
    downloads=("spark",),
    java=True,
    data=lambda settings: [_folder(settings)],
)
