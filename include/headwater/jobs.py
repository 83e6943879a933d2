"""How every file of `spark_jobs/` begins and ends.

A job prints progress while it works and one JSON object as its last line: what it did, in rows, seconds and snapshot
ids. Its exit code says whether trying again can help: 0 done, 75 may pass (`RetryableError`, and whatever nobody
foresaw), 65 stays until somebody changes something (`TerminalError`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from headwater.errors import HeadwaterError

EXIT_TERMINAL = 65  # EX_DATAERR of sysexits.h
EXIT_RETRYABLE = 75  # EX_TEMPFAIL


def run_job(parser: argparse.ArgumentParser, job: Callable[[argparse.Namespace], Mapping[str, Any]]) -> None:
    """Parse the arguments, run `job`, print its result as the last line, and exit the process."""
    arguments = parser.parse_args()
    begun = time.monotonic()
    try:
        result = dict(job(arguments))
    except HeadwaterError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        raise SystemExit(EXIT_RETRYABLE if error.retryable else EXIT_TERMINAL) from None
    except Exception:  # noqa: BLE001 - the last resort: told in full, and tried again
        traceback.print_exc()
        raise SystemExit(EXIT_RETRYABLE) from None
    finally:
        _release_spark()
    result["seconds"] = round(time.monotonic() - begun, 3)
    sys.stdout.write(json.dumps(result, default=str) + "\n")
    sys.stdout.flush()


def _release_spark() -> None:
    """Give the Spark session back: on a Connect server each holds a catalog with connections to Postgres."""
    if "pyspark" not in sys.modules:
        return
    from pyspark.sql import SparkSession

    if (spark := SparkSession.getActiveSession()) is not None:
        spark.stop()
