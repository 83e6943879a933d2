"""Build a gold table from its model, only where its inputs have changed; publish it after its checks have passed.

`python spark_jobs/build_gold.py --dataset fct_sales [--from 2017-03-01 --to 2017-04-01]`

Without a range: what changed since the table's last commit; nothing changed, no commit. With a range (half-open dates):
these partitions as well, whatever has changed. Ends with 65 when a quality rule of severity error is broken: readers
keep the version before. The last line is one JSON object: rows, parts replaced, checks, seconds, snapshot id.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from headwater.contracts.loader import load_contracts
from headwater.jobs import add_date_range, job_parser, run_job
from headwater.lake.catalog import get_catalog
from headwater.lake.gold import build, requested_range, unchanged
from headwater.lake.models import load_model
from headwater.lake.sessions import CATALOG, get_spark
from headwater.settings import get_settings


def parser() -> argparse.ArgumentParser:
    """Arguments of this job."""
    found = job_parser(__doc__)
    found.add_argument("--dataset", required=True, help="a gold dataset, such as fct_sales")
    add_date_range(found, "build")
    return found


def main(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Build one table."""
    contracts = load_contracts()
    model = load_model(contracts.get(arguments.dataset), get_settings().gold_models_dir, contracts)
    requested, catalog = requested_range(arguments.start, arguments.end), get_catalog()
    result = None if requested else unchanged(catalog, model)
    if result is None:
        spark = get_spark(f"build gold {arguments.dataset}")
        spark.catalog.setCurrentCatalog(CATALOG)
        result = build(spark, catalog, contracts, model, requested)
    return {"dataset": arguments.dataset, **result.as_json()}


if __name__ == "__main__":
    run_job(parser(), main)
