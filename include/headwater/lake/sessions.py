"""Spark sessions on the lake: the same configuration for the warm Connect server, `spark-submit` and plain Python.

`get_spark` connects to the server of `settings.spark_remote` where that is set (about 3 s), else it starts Spark in
this process with the jars of the lock (fetched where they are missing), or takes the one that `spark-submit` has
started, which has them from the properties file of `headwater spark properties`. Passwords are handed over in memory or
in a private file, never on a command line.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.embedded import downloads
from headwater.embedded.java import ensure_java, environment
from headwater.environment import extend_environment, is_submitted
from headwater.errors import ConfigurationError
from headwater.lake.storage import for_java
from headwater.settings import LOOPBACK, Settings, get_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client import SparkConnectClient

CATALOG = "lake"
LONGEST_AVRO_VALUE = 32 * 1024 * 1024
AVRO_LIMITS = (
    f"-Dorg.apache.avro.limits.string.maxLength={LONGEST_AVRO_VALUE} "
    f"-Dorg.apache.avro.limits.bytes.maxLength={LONGEST_AVRO_VALUE} "
    "-Dorg.apache.avro.limits.collectionItems.maxLength=1000000"
)
"""A corrupt length in a record must not make Avro allocate gigabytes; what exceeds these counts as undecodable."""
HEAP_BACK = "-XX:+UseG1GC -XX:G1PeriodicGCInterval=60000"
"""An idle JVM gives memory back to the system each minute."""
LAUNCH_ONLY = ("spark.driver.extraClassPath", "spark.driver.extraJavaOptions", "spark.driver.memory", "spark.master")
"""What must be known before the JVM starts, and holds no secret."""
TABLE_DEFAULTS = {
    "cache-enabled": "false",
    "table-default.format-version": "2",
    # Level 1 is a tenth cheaper to write than level 3 or snappy, measured on the stream.
    "table-default.write.parquet.compression-codec": "zstd",
    "table-default.write.parquet.compression-level": "1",
}
SECRETS = "(?i)secret|password|token|credential|access[.-]?key"
"""Properties that Spark hides where it shows its settings (UI, event log, `SET`). Its own default lets through
`s3.access-key-id` and a REST catalog's `credential`.
"""
GOODBYE_RETRIES = 3
"""By default a client tries for ten minutes to tell a server that is gone that it leaves."""


def spark_conf() -> dict[str, str]:
    """Every Spark property of the platform: engine, Iceberg, the catalog `lake`, and S3 where the lake lies there.

    Holds passwords: for a session or a private file, never for printing.
    """
    settings = get_settings()
    return _engine(settings) | _catalog(settings)


def _engine(settings: Settings) -> dict[str, str]:
    jars = sorted(settings.jars_dir.glob("*.jar"))
    # ClickHouse's driver carries a mangled copy of a class of RoaringBitmap: in front of Spark's own it breaks MERGE.
    # As `spark.jars` it comes behind.
    behind = [jar for jar in jars if jar.name.startswith("clickhouse-")]
    local = settings.spark_master.startswith("local")
    loopback = {"spark.driver.host": LOOPBACK, "spark.driver.bindAddress": LOOPBACK}
    return (loopback if local else {}) | {
        "spark.master": settings.spark_master,
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.executor.memory": settings.spark_executor_memory,
        "spark.driver.extraClassPath": ":".join(str(jar) for jar in jars if jar not in behind),
        # Executors of a cluster get them all from the driver.
        "spark.jars": ",".join(str(jar) for jar in (behind if local else jars)),
        "spark.driver.extraJavaOptions": f"-Duser.timezone=UTC {HEAP_BACK} {AVRO_LIMITS}",
        "spark.executor.extraJavaOptions": f"-Duser.timezone=UTC {AVRO_LIMITS}",
        "spark.pyspark.driver.python": sys.executable,
        "spark.redaction.regex": SECRETS,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.warehouse.dir": f"{settings.home}/spark/warehouse",
        "spark.local.dir": f"{settings.home}/spark/local",
    }


def _catalog(settings: Settings) -> dict[str, str]:
    """The Iceberg catalog and where its files lie. Without `cache-enabled=false` a session would see stale tables."""
    prefix = f"spark.sql.catalog.{CATALOG}"
    return {prefix: "org.apache.iceberg.spark.SparkCatalog"} | {
        f"{prefix}.{name}": value for name, value in (for_java(settings) | TABLE_DEFAULTS).items()
    }


def get_spark(app_name: str, *, classic: bool = False, engine: Mapping[str, str] | None = None) -> SparkSession:
    """A session on the lake: Spark Connect where `spark_remote` is set, else (or if asked) classic; logs warnings.

    `engine` are properties of a Spark that is started here, over those of the platform.
    """
    from pyspark.sql import SparkSession

    settings = get_settings()
    if settings.spark_remote and not classic:
        return _with_named_connections(
            SparkSession.builder.remote(settings.spark_remote).appName(app_name).getOrCreate()
        )
    if is_submitted():
        return _submitted(app_name)
    from pyspark import SparkConf, SparkContext

    if SparkContext._gateway is None:
        # A JVM that starts without its jars never finds them; what is there already is only looked at.
        downloads.ensure(settings, ("spark",), ensure_java(settings).executable)
        # PySpark starts whatever Java it finds first, be it one that Spark cannot run on.
        extend_environment(environment(settings))
    conf = {**spark_conf(), **(engine or {})}
    Path(conf["spark.local.dir"]).mkdir(parents=True, exist_ok=True)
    launch = SparkConf(loadDefaults=False).setAll([(name, conf[name]) for name in LAUNCH_ONLY])
    # Starts the JVM with what goes on its command line; all else, the password among it, follows in memory.
    SparkContext._ensure_initialized(conf=launch)
    builder = SparkSession.builder.appName(app_name)
    for name, value in conf.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    _calm(spark)
    return spark


def _submitted(app_name: str) -> SparkSession:
    """The session that `spark-submit` has configured; its JVM runs already, so nothing can be added to it."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName(app_name).getOrCreate()
    if spark.conf.get(f"spark.sql.catalog.{CATALOG}", None) is None:
        raise ConfigurationError(
            f"spark-submit was given no Iceberg and no catalog `{CATALOG}`",
            where=app_name,
            remedy='spark-submit --properties-file "$(headwater spark properties)" …',
        )
    _calm(spark)
    return spark


def _calm(spark: SparkSession) -> None:
    """Warnings that mean something: not a stack trace for each two-part name that Iceberg tries as a catalog first."""
    spark.sparkContext.setLogLevel("WARN")
    jvm = spark.sparkContext._jvm
    assert jvm is not None  # noqa: S101  (a classic session has one)
    log4j = jvm.org.apache.logging.log4j
    for logger in ("org.apache.iceberg.spark.Spark3Util", "org.apache.spark.sql.classic.SparkSession"):
        log4j.core.config.Configurator.setLevel(logger, log4j.Level.ERROR)


def connect_client() -> SparkConnectClient | None:
    """The client of this thread's session where that is on a Connect server; None for a classic one, or none."""
    if "pyspark.sql.connect.session" not in sys.modules:
        return None
    from pyspark.sql.connect.session import SparkSession

    session = SparkSession.getActiveSession()
    return None if session is None else session.client


def release() -> None:
    """End what this thread's session still runs, and the session: a Connect server holds a catalog for each."""
    from pyspark.sql import SparkSession

    if (client := connect_client()) is not None:
        impatient(client)
    spark = SparkSession.getActiveSession()
    if spark is None:
        return
    with suppress(Exception):  # the server may be gone, or have closed the session itself
        spark.interruptAll()
    spark.stop()


def impatient(client: SparkConnectClient) -> None:
    """Let the client give up soon where the server does not answer."""
    from pyspark.sql.connect.client.retries import DefaultPolicy

    client.set_retry_policies([DefaultPolicy(max_retries=GOODBYE_RETRIES)])


def connection_name(session_id: str) -> str:
    """How the catalog's connections of a Connect session are called in Postgres: `fencing` ends them by it."""
    return f"headwater-{session_id}"


def _with_named_connections(spark: SparkSession) -> SparkSession:
    """Tell the session's own catalog, which is made when it is first used, to name its connections."""
    if (client := connect_client()) is not None:
        _name_connections(spark, connection_name(client._session_id))
    return spark


def session_as(spark: SparkSession, name: str) -> SparkSession:
    """A new classic session of the same Spark whose connections to the catalog bear this name in Postgres.

    Its catalog is that of the given session, also where this has another than its Spark was started with.
    """
    session = spark.newSession()
    for key, value in spark.conf.getAll.items():
        if key.startswith(f"spark.sql.catalog.{CATALOG}"):
            session.conf.set(key, value)
    _name_connections(session, name)
    return session


def _name_connections(spark: SparkSession, connections: str) -> None:
    """A session's catalog is made when it is first used; from then on a name is too late."""
    name = f"spark.sql.catalog.{CATALOG}.uri"
    uri = spark.conf.get(name, "") or ""
    if uri.startswith("jdbc:postgresql:") and "ApplicationName=" not in uri:
        spark.conf.set(name, f"{uri}{'&' if '?' in uri else '?'}ApplicationName={connections}")


def submit_properties(path: Path | None = None) -> Path:
    """The properties file for `spark-submit` (default: `<home>/spark/submit.conf`), the jars it names fetched."""
    settings = get_settings()
    downloads.ensure(settings, ("spark",), ensure_java(settings).executable)
    path = path or settings.home / "spark" / "submit.conf"
    Path(spark_conf()["spark.local.dir"]).mkdir(parents=True, exist_ok=True)
    return write_spark_properties(path)


def write_spark_properties(path: Path) -> Path:
    """Write `spark_conf()` as a private properties file, for `spark-submit --properties-file`."""
    from headwater.embedded.secrets import write_private

    path.parent.mkdir(parents=True, exist_ok=True)
    # Java reads a backslash in a properties file as the beginning of an escape.
    lines = [f"{name} {value}\n".replace("\\", "\\\\") for name, value in spark_conf().items()]
    write_private(path, "".join(lines))
    return path
