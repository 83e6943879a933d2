"""Kafka into bronze: `spark-submit spark_jobs/ingest_stream.py [--dataset NAME]… [--once]`.

Every offset of a dataset's topic becomes one row of `lake.bronze.<dataset>`; the table decides where to begin. Without
`--dataset` all streams run, one query each. `--once` reads what is there and ends; otherwise it runs until SIGTERM.
See `headwater.streaming.application`.
"""

from __future__ import annotations

import argparse
import logging
from typing import Any

from headwater.jobs import run_job


def ingest(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the streams that were asked for."""
    from headwater.contracts.loader import load_contracts
    from headwater.contracts.model import Kind
    from headwater.settings import get_settings
    from headwater.streaming.application import run
    from headwater.streaming.session import stream_session

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("py4j", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    settings, contracts = get_settings(), load_contracts()
    names = arguments.dataset or [dataset.name for dataset in contracts.of_kind(Kind.STREAM)]
    datasets = [contracts.get(name) for name in names]
    return run(stream_session(settings), settings, datasets, once=arguments.once)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", action="append", help="a stream's name; repeatable; default: all")
    parser.add_argument("--once", action="store_true", help="read what is there, then end")
    run_job(parser, ingest)
