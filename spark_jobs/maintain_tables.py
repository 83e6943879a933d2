"""Let old rows go, compact, expire and sweep the tables of one dataset.

`python spark_jobs/maintain_tables.py --dataset transactions [--table bronze.transactions] [--metadata-only] …`

The last line is one JSON object: per table files, bytes, manifests, snapshots and the time of a scan before and after,
and what was done. What a stream has taken in within the last `--settled` minutes is not compacted.
With `--metadata-only` small manifests are merged and snapshots expired, and no file of rows is touched.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from headwater.contracts.loader import load_dataset
from headwater.jobs import job_parser, run_job
from headwater.lake.catalog import get_catalog
from headwater.lake.maintenance import SETTLED, Wish, maintain
from headwater.lake.sessions import get_spark


def parser() -> argparse.ArgumentParser:
    """Arguments of this job."""
    found = job_parser(__doc__)
    found.add_argument("--dataset", required=True, help="a dataset of any kind")
    found.add_argument("--table", help="only this one of its tables, e.g. silver.transactions")
    minutes = int(SETTLED.total_seconds() // 60)
    found.add_argument(
        "--settled", type=int, default=minutes, help="minutes after which a stream's files may be touched"
    )
    found.add_argument("--metadata-only", action="store_true", help="merge manifests and expire snapshots, no more")
    found.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    return found


def main(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Maintain each of the dataset's tables."""
    dataset = load_dataset(arguments.dataset)
    settled = timedelta(minutes=arguments.settled)
    wish = Wish(dry_run=arguments.dry_run, metadata_only=arguments.metadata_only, settled=settled)
    return maintain(get_spark(f"maintain {dataset.name}"), get_catalog(), dataset, wish, arguments.table)


if __name__ == "__main__":
    run_job(parser(), main)
