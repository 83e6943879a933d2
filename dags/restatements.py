"""
# {domain}_restate

Rebuilds a range of dates: silver from bronze, gold from silver, ClickHouse from gold.

Use it from **Backfill** in this DAG's page: choose the dates and *All Runs* to rebuild days that ran before. Each run
restates one day; running a day twice gives the same tables, and rows that arrive meanwhile are kept. One run is active
at a time, and a lock per table keeps it apart from the `{domain}` DAG.

Unpaused, it also restates yesterday once a day, which places what came in late; `make demo` leaves it paused.
"""

from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup
from graph import DATASETS, DOMAINS
from pendulum import datetime

from headwater_airflow.operators import BATCH, SparkJobOperator
from headwater_airflow.wiring import after_inputs, load_after_gold

RANGE = ["--from", "{{ data_interval_start | ds }}", "--to", "{{ data_interval_end | ds }}"]
BEFORE_ALL_DATA = datetime(2000, 1, 1, tz="UTC")
"""Airflow fills back no day before it."""

for domain in DOMAINS:
    restatable = {name: d for name, d in DATASETS.items() if d["domain"] == domain and d["restatable"]}
    if not restatable:
        continue

    with DAG(
        dag_id=f"{domain}_restate",
        doc_md=(__doc__ or "").format(domain=domain),
        schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
        start_date=BEFORE_ALL_DATA,
        catchup=False,
        max_active_runs=1,
        max_active_tasks=4,
        default_args={**BATCH, "owner": domain},
        tags=["headwater", domain, "restate"],
    ):
        tasks: dict[str, SparkJobOperator] = {}

        for stage, job, kinds in (
            ("silver", "build_silver", ("stream", "files")),
            ("gold", "build_gold", ("model",)),
        ):
            with TaskGroup(stage):
                for name, dataset in restatable.items():
                    if dataset["kind"] in kinds:
                        tasks[f"{stage}.{name}"] = SparkJobOperator(
                            task_id=name, job=job, arguments=["--dataset", name, *RANGE], doc_md=dataset["description"]
                        )

        after_inputs(tasks, restatable)
        load_after_gold(tasks, domain, doc_md="Loads the partitions that the run has rewritten.")
