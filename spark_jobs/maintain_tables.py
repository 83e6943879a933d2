"""Compact, expire and sweep the tables of one dataset.

`spark-submit spark_jobs/maintain_tables.py --dataset transactions [--dry-run]`
Prints one JSON object as its last line: per table files, bytes and snapshots before and after, and what was done.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from headwater.contracts.loader import load_dataset
from headwater.jobs import run_job
from headwater.lake.catalog import get_catalog
from headwater.lake.maintenance import maintain
from headwater.lake.sessions import get_spark


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dataset", required=True, help="name of a dataset")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    run_job(parser, run)


def run(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Maintain, and say what was done."""
    dataset = load_dataset(arguments.dataset)
    return maintain(get_spark(f"maintain {dataset.name}"), get_catalog(), dataset, dry_run=arguments.dry_run)


if __name__ == "__main__":
    main()
