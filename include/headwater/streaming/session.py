"""The Spark session of the streaming application: always its own driver, never Spark Connect, whose catalog's
connections belong to the server and would outlive the stream's process.
"""

from __future__ import annotations

from pyspark.sql import SparkSession

from headwater.lake.sessions import get_spark
from headwater.settings import Settings
from headwater.streaming.launching import application_name


def stream_session(settings: Settings) -> SparkSession:
    """A classic session on the lake."""
    return get_spark(application_name(settings), classic=True)
