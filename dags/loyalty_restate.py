"""
# loyalty_restate

Rebuilds a range of dates: silver from bronze, gold from silver, ClickHouse from gold.

Use it from **Backfill** in this DAG's page: choose the dates and *All Runs* to rebuild days that ran before. Each run
restates one day; running a day twice gives the same tables, and rows that arrive meanwhile are kept. One run is active
at a time, and a lock per table keeps it apart from the `loyalty` DAG.

Unpaused, it also restates yesterday once a day, which places what came in late; `make demo` leaves it paused.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup
from graph import DATASETS
from pendulum import datetime

from headwater_airflow.operators import SparkJobOperator

DOMAIN = "loyalty"
RANGE = ["--from", "{{ data_interval_start | ds }}", "--to", "{{ data_interval_end | ds }}"]
restatable = {name: d for name, d in DATASETS.items() if d["domain"] == DOMAIN and d["restatable"]}

with DAG(
    dag_id=f"{DOMAIN}_restate",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2016, 12, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=4,
    default_args={
        "owner": "loyalty",
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(hours=1),
    },
    tags=["headwater", DOMAIN, "restate"],
):
    tasks: dict[str, SparkJobOperator] = {}

    for stage, stage_job, kinds in (
        ("silver", "build_silver", ("stream", "files")),
        ("gold", "build_gold", ("model",)),
    ):
        with TaskGroup(stage):
            for name, dataset in restatable.items():
                if dataset["kind"] in kinds:
                    tasks[f"{stage}.{name}"] = SparkJobOperator(
                        task_id=name,
                        job=stage_job,
                        arguments=["--dataset", name, *RANGE],
                        doc_md=dataset["description"],
                    )

    with TaskGroup("warehouse"):
        load = SparkJobOperator(
            task_id="load",
            job="load_warehouse",
            arguments=["--domain", DOMAIN],
            doc_md="Loads the partitions that the run has rewritten.",
        )

    for name, dataset in restatable.items():
        if dataset["kind"] != "model":
            continue
        for table in dataset["inputs"]:
            if table in tasks:
                tasks[table] >> tasks[f"gold.{name}"]
        tasks[f"gold.{name}"] >> load
