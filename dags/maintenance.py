"""
# maintenance

Keeps the lake fast and small: lets rows go that are older than the contract keeps them, compacts small files, expires
snapshots nobody needs any more, removes orphan files.

Every night once unpaused (`make demo` leaves it paused), one mapped task per table. A snapshot that a stream, a
downstream table or a running build still has to read is kept, and so are tags and the position of a stream; what a
stream is writing now is left alone. The result of each task (XCom, and the last lines of its log) says files, bytes,
manifests, snapshots and the time of a scan before and after; `headwater table maintained` shows them over time.

**Try it first:** `headwater table maintain bronze.transactions --dry-run` says what would be done.

**When it fails:** another writer came first each time, or held the table's lock for long: the next run goes on from
what this one has done. Anything else is told in the log.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from graph import DATASETS
from pendulum import datetime

from headwater_airflow.operators import BATCH, SparkJobOperator

TABLES = {
    "model": ["gold.{name}"],
    "stream": ["bronze.{name}", "silver.{name}", "silver.{name}_refused"],
    "capture": ["bronze.{name}", "silver.{name}", "silver.{name}_refused"],
    "table": ["bronze.{name}", "silver.{name}", "silver.{name}_refused"],
    "files": ["bronze.{name}", "silver.{name}", "silver.{name}_refused"],
}
"""Per kind of dataset."""

with DAG(
    dag_id="maintenance",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 2 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=1,
    default_args={**BATCH, "owner": "platform", "execution_timeout": timedelta(hours=2)},
    tags=["headwater", "lake"],
):
    SparkJobOperator.partial(
        task_id="maintain",
        job="maintain_tables",
        map_index_template="{{ task.application_args[-1] }}",
        doc_md="Looks after one table; its result says what was there before, what was done, and what is there after.",
    ).expand(
        arguments=[
            ["--dataset", name, "--table", table.format(name=name)]
            for name, dataset in DATASETS.items()
            for table in TABLES[dataset["kind"]]
        ]
    )
