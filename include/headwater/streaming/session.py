"""The Spark session of the streaming application: always its own JVM, never Spark Connect, which has no foreachBatch
that could reach the JVM's lock.
"""

from __future__ import annotations

from pyspark.sql import SparkSession

from headwater.lake.sessions import get_spark
from headwater.settings import Settings


def stream_session(settings: Settings) -> SparkSession:
    """A classic session on the lake."""
    return get_spark("headwater-stream", classic=True)
