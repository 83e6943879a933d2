"""Operators: a job of `spark_jobs/`, and a `headwater` command.

`SparkJobOperator` runs a job on the warm Spark Connect server where one is configured (the embedded stack; what that
saves: docs/adr/0009), and by spark-submit otherwise (a cluster; connection `spark_default`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseOperator, Context

from headwater_airflow.process import Command, JobCommand, ProcessCommand

PROJECT_DIR = Path(__file__).resolve().parents[2]
JOBS_DIR = PROJECT_DIR / "spark_jobs"

BATCH: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "execution_timeout": timedelta(hours=1),
}
"""Default arguments of tasks that work off what is new: trying again costs little, and nothing is done twice."""


class SparkJobOperator(SparkSubmitOperator):
    """Run `spark_jobs/<job>.py` with arguments; its result (one JSON line) is the task's XCom."""

    ui_color = "#d5e8f7"

    def __init__(self, *, job: str, arguments: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(
            application=str(JOBS_DIR / f"{job}.py"), application_args=list(arguments), name=f"headwater-{job}", **kwargs
        )
        self._command: Command | None = None

    def execute(self, context: Context) -> Any:
        """Run on Spark Connect if there is one, else by spark-submit."""
        from headwater.settings import get_settings  # not while the DAG is parsed: it reads the environment

        if not get_settings().spark_remote:
            from headwater.lake.sessions import submit_properties

            self.properties_file = str(submit_properties())
            return super().execute(context)
        repair_embedded_spark()
        self._command = JobCommand([self.application, *self.application_args], cwd=str(PROJECT_DIR))
        return self._command.run()

    def on_kill(self) -> None:
        """End the job when the task is cleared, timed out or marked."""
        if self._command is not None:
            self._command.kill()
        else:
            super().on_kill()


class HeadwaterOperator(BaseOperator):
    """Run `headwater <arguments>`; a last line of JSON is the task's XCom."""

    template_fields: Sequence[str] = ("arguments",)
    ui_color = "#e3f1e1"

    def __init__(self, *, arguments: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.arguments = list(arguments)
        self._command: Command | None = None

    def execute(self, context: Context) -> Any:
        """Run the command to its end."""
        self._command = JobCommand(["-m", "headwater.cli", *self.arguments], cwd=str(PROJECT_DIR))
        return self._command.run()

    def on_kill(self) -> None:
        """End the command when the task is cleared, timed out or marked."""
        if self._command is not None:
            self._command.kill()


def repair_embedded_spark() -> None:
    """Start the embedded Spark Connect server again where it died: a killed Spark must not fail batch work for good."""
    from headwater.embedded.spark import is_embedded_and_down
    from headwater.settings import get_settings

    if is_embedded_and_down(get_settings()):
        ProcessCommand(["-m", "headwater.cli", "up", "spark"], cwd=str(PROJECT_DIR)).run()
