"""
# loyalty

Moves what is new through the lake into the warehouse: source tables and file drops into bronze, bronze into silver,
silver into gold, gold into ClickHouse. One task per dataset and stage.

Every task works off what changed since its own last commit, so a run without news changes nothing, and a failed task
can be cleared alone at any time. Runs every 15 minutes, and at once when a file drop is announced as an asset.

**When it fails:** open the failed task's log; it ends with what is wrong, where, and what to do. A quality rule that
stops a gold table names the rule, what was expected and what was found; readers keep the last good version meanwhile.
To rebuild a range of dates, use Backfill on `loyalty_restate`.
"""

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, TaskGroup
from graph import DATASETS
from pendulum import datetime

from headwater_airflow.operators import SparkJobOperator

DOMAIN = "loyalty"
datasets = {name: dataset for name, dataset in DATASETS.items() if dataset["domain"] == DOMAIN}
file_drops = [Asset(f"headwater://landing/{name}") for name, dataset in datasets.items() if dataset["kind"] == "files"]


def job(stage: str, name: str, job: str) -> SparkJobOperator:
    """The task of one dataset at one stage."""
    return SparkJobOperator(
        task_id=name,
        job=job,
        arguments=["--dataset", name],
        doc_md=datasets[name]["description"],
        outlets=[Asset(f"headwater://lake/{stage}/{name}")],
    )


with DAG(
    dag_id=DOMAIN,
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("*/15 * * * *", timezone="UTC"), assets=file_drops),
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=4,
    default_args={
        "owner": "loyalty",
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(hours=1),
    },
    tags=["headwater", DOMAIN],
):
    tasks: dict[str, SparkJobOperator] = {}

    with TaskGroup("bronze"):
        for name, dataset in datasets.items():
            if dataset["kind"] in ("table", "files"):
                tasks[f"bronze.{name}"] = job("bronze", name, "ingest_batch")

    with TaskGroup("silver"):
        for name, dataset in datasets.items():
            if dataset["kind"] != "model":
                tasks[f"silver.{name}"] = job("silver", name, "build_silver")

    with TaskGroup("gold"):
        for name, dataset in datasets.items():
            if dataset["kind"] == "model":
                tasks[f"gold.{name}"] = job("gold", name, "build_gold")

    with TaskGroup("warehouse"):
        load = SparkJobOperator(
            task_id="load",
            job="load_warehouse",
            arguments=["--domain", DOMAIN],
            doc_md="Loads the changed partitions of all gold tables together, so that facts and dimensions agree.",
            outlets=[Asset(f"headwater://warehouse/{DOMAIN}")],
        )

    for name, dataset in datasets.items():
        for table in dataset["inputs"]:
            if table in tasks:
                stage = "gold" if dataset["kind"] == "model" else "silver"
                tasks[table] >> tasks[f"{stage}.{name}"]
        if dataset["kind"] == "model":
            tasks[f"gold.{name}"] >> load
