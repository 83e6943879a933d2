"""How every file of `spark_jobs/` begins and ends.

A job has a `parser()` and a `main(arguments)`, and runs by `python` as well as by
`spark-submit --properties-file "$(headwater spark properties)"`. It prints progress while it works and one JSON object
as its last line: what it did, in rows, seconds and snapshot ids. Its exit code says whether trying again can help: 0
done, 75 may pass (`RetryableError`, and whatever nobody foresaw), 65 stays until somebody changes something
(`TerminalError`), 143 it was told to stop (SIGTERM). A job that ends early ends its queries on a Spark Connect server
too, which would go on alone.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import date
from types import FrameType
from typing import Any, NoReturn

from headwater.errors import ConfigurationError, HeadwaterError

EXIT_TERMINAL = 65  # EX_DATAERR of sysexits.h
EXIT_RETRYABLE = 75  # EX_TEMPFAIL
EXIT_STOPPED = 128 + signal.SIGTERM
STOP_SECONDS = 15
"""What a job that was told to stop gets for its goodbyes. Airflow's operator and the job server kill after 20."""


def job_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose `--help` is the job's module docstring as it stands."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_date_range(parser: argparse.ArgumentParser, verb: str) -> None:
    """`--from` and `--to`, half-open, as `start` and `end`: both or neither."""
    parser.add_argument("--from", dest="start", type=date.fromisoformat, help=f"{verb} from this date on")
    parser.add_argument("--to", dest="end", type=date.fromisoformat, help="… up to, not including, this one")


def run_job(parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], Mapping[str, Any]]) -> None:
    """Parse the arguments, run `main`, print its result as the last line, and exit the process."""
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    begun = time.monotonic()
    try:
        _check_range(arguments)
        result = dict(main(arguments))
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


def _check_range(arguments: argparse.Namespace) -> None:
    """Refuse half a range and an empty one before anything is started."""
    start, end = getattr(arguments, "start", None), getattr(arguments, "end", None)
    if (start is None) != (end is None):
        raise ConfigurationError("a range needs both ends", where="--from/--to", remedy="give both, or neither")
    if start is not None and start >= end:
        raise ConfigurationError(
            f"the range from {start} up to, not including, {end} is empty",
            where="--from/--to",
            remedy="give a later --to",
        )


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM: unwind, which frees locks and ends queries; the system's alarm ends what does not."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.alarm(STOP_SECONDS)
    sys.stderr.write("told to stop\n")
    raise SystemExit(EXIT_STOPPED)


def _release_spark() -> None:
    """End what this session still runs, and give it back: a Connect server holds a catalog for each."""
    if "pyspark" not in sys.modules:
        return
    from headwater.lake.sessions import release

    release()
