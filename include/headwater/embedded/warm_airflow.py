"""`airflow`, with the libraries imported that every task and every look at a DAG file would import anew.

The scheduler's workers are its forks, and each task is a fork of a worker; the DAG processor forks for each file. What
they have imported costs a fork nothing. Without it a task of ours imports 300 modules, 0.8 CPU-seconds, before it
begins. What people edit (DAGs, plugins, `headwater`) is not among them: that is read as it is on disk, each time.
"""

from __future__ import annotations

import sys
from importlib import import_module

LIBRARIES = (
    "airflow.dag_processing.bundles.manager",
    "airflow.dag_processing.dagbag",
    "airflow.providers.apache.spark.operators.spark_submit",
    "airflow.providers.openlineage.plugins.listener",
    "airflow.providers.openlineage.plugins.openlineage",
    "airflow.sdk.execution_time.task_runner",
    "pydantic_settings",
)


def main() -> None:
    """`python -m headwater.embedded.warm_airflow scheduler …`."""
    for name in LIBRARIES:
        import_module(name)
    sys.argv[0] = "airflow"
    import_module("airflow.__main__").main()


if __name__ == "__main__":
    main()
