"""Load gold tables from the lake into ClickHouse: changed partitions, all tables of a domain together. Needs no Spark.

`python spark_jobs/load_warehouse.py --domain loyalty` or `--dataset fct_sales [--from 2017-03-01 --to 2017-04-01]`

Without a range: what differs from the snapshots last loaded; nothing new, nothing is done. With a range (half-open
dates): these partitions as well. The last line is one JSON object: rows, and per table what was replaced by what.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from headwater.contracts.loader import load_contracts
from headwater.jobs import add_date_range, job_parser, run_job
from headwater.lake.catalog import get_catalog
from headwater.lake.gold import requested_range
from headwater.warehouse.client import writer
from headwater.warehouse.loading import load, loadable


def parser() -> argparse.ArgumentParser:
    """Arguments of this job."""
    found = job_parser(__doc__)
    found.add_argument("--domain", help="all gold tables of a domain; without it and --dataset, of every domain")
    found.add_argument("--dataset", action="append", default=[], help="a gold dataset; repeatable")
    add_date_range(found, "load")
    return found


def main(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Load one dataset, a domain, or everything."""
    datasets = loadable(load_contracts(), arguments.domain, arguments.dataset)
    loaded = load(writer(), get_catalog(), datasets, requested_range(arguments.start, arguments.end))
    return {
        "rows": sum(item.rows for item in loaded),
        "tables": {x.dataset: {"rows": x.rows, "replaced": x.replaced, "snapshot_id": x.snapshot_id} for x in loaded},
    }


if __name__ == "__main__":
    run_job(parser(), main)
