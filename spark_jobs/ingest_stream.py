"""Kafka into bronze, as long as it is let.

`python spark_jobs/ingest_stream.py [--dataset transactions]… [--once]`

Every offset of a dataset's topic becomes one row of `lake.bronze.<dataset>`; the table decides where to begin. Without
`--dataset` all streams run, one query each. `--once` reads what is there and ends; otherwise it runs until SIGTERM, and
ends after the batch that is being written. See `headwater.streaming.application`.
"""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Mapping
from typing import Any

from headwater.jobs import job_parser, run_job


def parser() -> argparse.ArgumentParser:
    """Arguments of this job."""
    found = job_parser(__doc__)
    found.add_argument(
        "--dataset", action="append", help="a dataset of kind stream or capture; repeatable; default: all"
    )
    found.add_argument("--once", action="store_true", help="read what is there, then end")
    return found


def main(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Run the streams that were asked for."""
    signal.signal(signal.SIGHUP, lambda *_: None)  # until it reads there is nothing to try again
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("py4j", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from headwater.streaming.starting import start

    return start(arguments.dataset, once=arguments.once)


if __name__ == "__main__":
    run_job(parser(), main)
