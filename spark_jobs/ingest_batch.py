"""Source to bronze, for one dataset that does not come through Kafka: a table of Postgres, or dropped files.

`spark-submit spark_jobs/ingest_batch.py --dataset households`
Prints one JSON object as its last line: rows appended (by operation or files), seconds, snapshot id.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Kind
from headwater.errors import ConfigurationError
from headwater.jobs import run_job
from headwater.lake.catalog import get_catalog
from headwater.lake.locks import table_lock
from headwater.lake.sessions import get_spark
from headwater.lake.source_files import ingest_files
from headwater.lake.source_table import ingest_table

INGEST = {Kind.TABLE: ingest_table, Kind.FILES: ingest_files}


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dataset", required=True, help="name of a dataset of kind table or files")
    run_job(parser, run)


def run(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Ingest, and say what was done."""
    dataset = load_dataset(arguments.dataset)
    if dataset.kind not in INGEST:
        remedy = "streams come in by spark_jobs/ingest_stream.py, gold is built by spark_jobs/build_gold.py"
        raise ConfigurationError(f"{dataset.name} is a {dataset.kind}", where="--dataset", remedy=remedy)
    with table_lock(f"bronze.{dataset.name}", purpose="ingest"):
        return INGEST[dataset.kind](get_spark(f"ingest {dataset.name}"), get_catalog(), dataset)


if __name__ == "__main__":
    main()
