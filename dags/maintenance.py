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

STREAMED = ("stream", "capture")
ONE_TABLE_AT_A_TIME = {
    "start_date": datetime(2026, 1, 1, tz="UTC"),
    "catchup": False,
    "max_active_runs": 1,
    "max_active_tasks": 1,
    "tags": ["headwater", "lake"],
}
METADATA_DOC = """
# maintenance_of_metadata

Every hour once unpaused (`make demo` leaves it paused): merges the small manifests of each stream's bronze table and
expires its snapshots. A stream that commits every two seconds makes 1,800 of each in an hour, and every commit writes
all of them anew, so that without this a day's last commits cost many times its first. No file of rows is touched;
`maintenance` does that at night. What a reader still needs is kept, as there.

**When it fails:** as `maintenance`; the next hour goes on from what this one has done.
"""


def maintain(task_id: str, tables: list[tuple[str, str]], doc: str, *options: str) -> None:
    """A mapped task over (dataset, table)."""
    SparkJobOperator.partial(
        task_id=task_id, job="maintain_tables", map_index_template="{{ task.application_args[3] }}", doc_md=doc
    ).expand(arguments=[["--dataset", name, "--table", table, *options] for name, table in tables])


with DAG(
    dag_id="maintenance",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 2 * * *", timezone="UTC"),
    default_args={**BATCH, "owner": "platform", "execution_timeout": timedelta(hours=2)},
    **ONE_TABLE_AT_A_TIME,
):
    maintain(
        "maintain",
        [(name, t.format(name=name)) for name, dataset in DATASETS.items() for t in TABLES[dataset["kind"]]],
        "Looks after one table; its result says what was there before, what was done, and what is there after.",
    )

with DAG(
    dag_id="maintenance_of_metadata",
    doc_md=METADATA_DOC,
    schedule=CronTriggerTimetable("50 * * * *", timezone="UTC"),
    default_args={**BATCH, "owner": "platform", "execution_timeout": timedelta(minutes=25)},
    **ONE_TABLE_AT_A_TIME,
):
    maintain(
        "merge_and_expire",
        [(name, f"bronze.{name}") for name, dataset in DATASETS.items() if dataset["kind"] in STREAMED],
        "One stream's bronze; its result says how many manifests and snapshots were there before, and are after.",
        "--metadata-only",
    )
