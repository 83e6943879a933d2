"""The Spark session of the streaming application: always its own driver, never Spark Connect, whose catalog's
connections belong to the server and would outlive the stream's process.
"""

from __future__ import annotations

from pyspark.sql import SparkSession

from headwater.lake.sessions import get_spark
from headwater.settings import Settings
from headwater.streaming.launching import application_name

ENGINE = {
    # There is no shuffle whose outcome could change a plan.
    "spark.sql.adaptive.enabled": "false",
    # A checkpoint is never read again.
    "spark.sql.streaming.checkpoint.fileChecksum.enabled": "false",
    # ClickHouse's driver, which would be copied at the first batch: the follower is Python.
    "spark.jars": "",
}
"""What is better for many small batches that are all alike, on the driver's own host."""


def stream_session(settings: Settings) -> SparkSession:
    """A classic session on the lake."""
    local = settings.spark_master.startswith("local")
    spark = get_spark(application_name(settings), classic=True, engine=ENGINE if local else None)
    _write_plainly(spark)
    return spark


def _write_plainly(spark: SparkSession) -> None:
    """Local files without a `.crc` beside each.

    Without its native library Hadoop starts a process, `chmod`, for each file that it creates, and so one more for each
    of these. Nobody but Hadoop ever looks at them.
    """
    jvm = spark.sparkContext._jvm
    assert jvm is not None  # noqa: S101  (a classic session has one)
    jvm.org.apache.hadoop.fs.FileSystem.getLocal(spark.sparkContext._jsc.hadoopConfiguration()).setWriteChecksum(False)
