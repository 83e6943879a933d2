"""Bronze to silver, for one dataset: what was appended since the last build, or a range of dates anew.

`spark-submit spark_jobs/build_silver.py --dataset transactions [--from 2017-01-01 --to 2017-02-01]`
Prints one JSON object as its last line: rows read, refused and written, files opened, seconds, snapshot id.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import date
from typing import Any

from headwater.contracts.loader import load_dataset
from headwater.errors import ConfigurationError
from headwater.jobs import run_job
from headwater.lake.catalog import get_catalog
from headwater.lake.restate import restate
from headwater.lake.sessions import get_spark
from headwater.lake.silver import build


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dataset", required=True, help="name of a dataset of kind stream, table or files")
    parser.add_argument("--from", dest="first", type=date.fromisoformat, help="restate from this date on")
    parser.add_argument("--to", dest="last", type=date.fromisoformat, help="… up to, not including, this one")
    run_job(parser, run)


def run(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Build, and say what was done."""
    if (arguments.first is None) != (arguments.last is None):
        raise ConfigurationError("a range needs both ends", where="--from/--to", remedy="give both, or neither")
    dataset = load_dataset(arguments.dataset)
    spark, catalog = get_spark(f"silver {dataset.name}"), get_catalog()
    if arguments.first is None:
        return build(spark, catalog, dataset)
    return restate(spark, catalog, dataset, arguments.first, arguments.last)


if __name__ == "__main__":
    main()
