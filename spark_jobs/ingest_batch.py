"""Source to bronze, for one dataset that does not come through Kafka: a table of Postgres, or dropped files.

`python spark_jobs/ingest_batch.py --dataset households`

The last line is one JSON object: rows appended (by operation or files), seconds, snapshot id.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Kind
from headwater.errors import ConfigurationError
from headwater.jobs import job_parser, run_job
from headwater.lake.catalog import get_catalog
from headwater.lake.sessions import get_spark
from headwater.lake.source_files import ingest_files
from headwater.lake.source_table import ingest_table

INGEST = {Kind.TABLE: ingest_table, Kind.FILES: ingest_files}


def parser() -> argparse.ArgumentParser:
    """Arguments of this job."""
    found = job_parser(__doc__)
    found.add_argument("--dataset", required=True, help="a dataset of kind table or files")
    return found


def main(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Ingest what is new."""
    dataset = load_dataset(arguments.dataset)
    if dataset.kind not in INGEST:
        remedy = "streams come in by spark_jobs/ingest_stream.py, gold is built by spark_jobs/build_gold.py"
        raise ConfigurationError(f"{dataset.name} is a {dataset.kind}", where="--dataset", remedy=remedy)
    return INGEST[dataset.kind](get_spark(f"ingest {dataset.name}"), get_catalog(), dataset)


if __name__ == "__main__":
    run_job(parser(), main)
