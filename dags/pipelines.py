"""
# {domain}

Moves what is new through the lake into the warehouse: source tables and file drops into bronze, bronze into silver,
silver into gold, gold into ClickHouse. One task per dataset and stage.

Every task works off what changed since its own last commit, so a run without news changes nothing, and a failed task
can be cleared alone at any time. Runs every 15 minutes, and at once when a file drop is announced: an event of the
asset `headwater://landing/<dataset>`. What it reads of another domain is as that domain's own DAG has left it.

**When it fails:** open the failed task's log; it ends with what is wrong, where, and what to do. A quality rule that
stops a gold table names the rule, what was expected and what was found; readers keep the last good version meanwhile.
To rebuild a range of dates, use Backfill on `{domain}_restate`.
"""

from airflow.sdk import DAG, Asset, AssetAny, AssetOrTimeSchedule, CronTriggerTimetable, TaskGroup
from graph import DATASETS, DOMAINS
from pendulum import datetime

from headwater_airflow.operators import BATCH, SparkJobOperator
from headwater_airflow.wiring import after_inputs, load_after_gold


def task_of(stage: str, name: str, job: str) -> SparkJobOperator:
    """The task of one dataset at one stage."""
    return SparkJobOperator(
        task_id=name,
        job=job,
        arguments=["--dataset", name],
        doc_md=DATASETS[name]["description"],
        outlets=[Asset(f"headwater://lake/{stage}/{name}")],
    )


for domain in DOMAINS:
    datasets = {name: dataset for name, dataset in DATASETS.items() if dataset["domain"] == domain}
    drops = [Asset(f"headwater://landing/{name}") for name, d in datasets.items() if d["kind"] == "files"]
    every_quarter = CronTriggerTimetable("*/15 * * * *", timezone="UTC")

    with DAG(
        dag_id=domain,
        doc_md=(__doc__ or "").format(domain=domain),
        schedule=AssetOrTimeSchedule(timetable=every_quarter, assets=AssetAny(*drops)) if drops else every_quarter,
        start_date=datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        max_active_tasks=4,
        default_args={**BATCH, "owner": domain},
        tags=["headwater", domain],
    ):
        tasks: dict[str, SparkJobOperator] = {}

        for stage, job, kinds in (
            ("bronze", "ingest_batch", ("table", "files")),
            ("silver", "build_silver", ("stream", "table", "capture", "files")),
            ("gold", "build_gold", ("model",)),
        ):
            with TaskGroup(stage):
                for name, dataset in datasets.items():
                    if dataset["kind"] in kinds:
                        tasks[f"{stage}.{name}"] = task_of(stage, name, job)

        after_inputs(tasks, datasets)
        load_after_gold(
            tasks,
            domain,
            doc_md="Loads the changed partitions of all gold tables together: facts and dimensions agree.",
            outlets=[Asset(f"headwater://warehouse/{domain}")],
        )
