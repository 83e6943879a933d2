"""Bronze to silver, for one dataset: what was appended since the last build, or a range of dates anew.

`python spark_jobs/build_silver.py --dataset transactions [--from 2017-01-01 --to 2017-02-01]`

The last line is one JSON object: rows read, refused and written, files opened, seconds, snapshot id.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from headwater.contracts.loader import load_dataset
from headwater.jobs import add_date_range, job_parser, run_job
from headwater.lake.catalog import get_catalog
from headwater.lake.restate import restate
from headwater.lake.sessions import get_spark
from headwater.lake.silver import build, unchanged


def parser() -> argparse.ArgumentParser:
    """Arguments of this job."""
    found = job_parser(__doc__)
    found.add_argument("--dataset", required=True, help="a dataset of kind stream, table or files")
    add_date_range(found, "restate")
    return found


def main(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Build, or restate the range."""
    dataset = load_dataset(arguments.dataset)
    catalog = get_catalog()
    if arguments.start is None and (done := unchanged(catalog, dataset)) is not None:
        return done
    spark = get_spark(f"silver {dataset.name}")
    if arguments.start is None:
        return build(spark, catalog, dataset)
    return restate(spark, catalog, dataset, arguments.start, arguments.end)


if __name__ == "__main__":
    run_job(parser(), main)
