"""
# maintenance

Keeps the lake fast and small: compacts small files, expires snapshots nobody needs any more, removes orphan files.

Every night once unpaused (`make demo` leaves it paused), one task per dataset. A snapshot that a stream or a
downstream table still has to read is kept, and so is the one that holds a stream's position. The result of each task
says files and bytes before and after.

**Try it first:** `python spark_jobs/maintain_tables.py --dataset transactions --dry-run` says what would be done.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from graph import DATASETS
from pendulum import datetime

from headwater_airflow.operators import BATCH, SparkJobOperator

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
    for name, dataset in DATASETS.items():
        SparkJobOperator(
            task_id=name,
            job="maintain_tables",
            arguments=["--dataset", name],
            doc_md=f"Compacts and cleans the tables of {name}. {dataset['description']}",
        )
