"""How the tasks of a domain hang together: who reads whom, and the load behind all of gold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import TaskGroup

from headwater_airflow.operators import SparkJobOperator


def after_inputs(tasks: Mapping[str, SparkJobOperator], datasets: Mapping[str, Any]) -> None:
    """Each build waits for those of its inputs that are tasks too; `tasks` go by `<stage>.<dataset>`."""
    for name, dataset in datasets.items():
        stage = "gold" if dataset["kind"] == "model" else "silver"
        for table in dataset["inputs"]:
            if table in tasks:
                tasks[table] >> tasks[f"{stage}.{name}"]


def load_after_gold(tasks: Mapping[str, SparkJobOperator], domain: str, **options: Any) -> None:
    """The task `warehouse.load`, where there is any gold to load; `options` are the operator's."""
    if gold := [task for table, task in tasks.items() if table.startswith("gold.")]:
        with TaskGroup("warehouse"):
            load = SparkJobOperator(task_id="load", job="load_warehouse", arguments=["--domain", domain], **options)
        gold >> load
