"""The steps of the demo: each a command a user would type, timed, and harmless to repeat."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from rich.console import Console

from headwater.demo.airflow import Airflow
from headwater.environment import child_environment
from headwater.errors import RetryableError, TerminalError
from headwater.settings import LOOPBACK, Settings

PIPELINE = "loyalty"
PIPELINE_SECONDS = 1_800.0
CATCH_UP_SECONDS = 600.0
FIRST_MONDAY = date(2017, 1, 2)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a step took, in seconds of wall clock."""

    step: str
    seconds: float


def start_platform(settings: Settings, console: Console) -> None:
    """`headwater up`; the only step that is not timed, since the first one downloads."""
    console.rule("[bold]the platform", align="left")
    run_command(settings, [sys.executable, "-m", "headwater.cli", "up"])


def run_command(settings: Settings, command: Sequence[str]) -> None:
    """Run one of the platform's own commands on the warm Spark, its output passed on.

    Raises `TerminalError` when it fails.
    """
    remote = settings.spark_remote or f"sc://{LOOPBACK}:{settings.spark_connect_port}"
    environment = child_environment({"HEADWATER_SPARK_REMOTE": remote})
    done = subprocess.run(command, cwd=settings.project_dir, env=environment, check=False)
    if done.returncode:
        raise TerminalError(
            f"{' '.join(command[1:])} ended with exit code {done.returncode}",
            remedy="its last lines above say why; `make demo` goes on where it stopped",
        )


class Steps:
    """Runs the steps one after the other and keeps their times."""

    def __init__(self, settings: Settings, console: Console, until: date | None) -> None:
        self.settings = settings
        self.console = console
        self.until = until
        self.timings: list[Timing] = []
        self.airflow = Airflow(settings)

    def run(self) -> None:
        """Everything from the source systems to the warehouse. The stack is up already."""
        until = ["--to", self.until.isoformat()] if self.until else []
        weeks = ["--weeks", f"1-{source_week(self.until)}"] if self.until else []
        self._commands("contracts into topics, tables and DDL", ["contract", "apply"], ["policy", "apply"])
        self._commands("source database", ["source", "load"])
        self._time("stream started by Airflow", self._start_streams)
        self._commands(
            "events into Kafka",
            ["source", "replay", "transactions", *until],
            ["source", "replay", "coupon_redemptions", *until],
            ["source", "break"],
        )
        self._commands("promotions dropped as files", ["source", "drop", *weeks])
        self._time("reference tables, then dated changes", self._change_history)
        self._time("bronze has every offset", self._wait_for_bronze)
        self._time("silver, gold, ClickHouse (Airflow)", self._run_pipeline)

    def _time(self, step: str, action: Callable[[], None]) -> None:
        self.console.rule(f"[bold]{step}", align="left")
        begun = time.monotonic()
        action()
        self.timings.append(Timing(step, time.monotonic() - begun))

    def _commands(self, step: str, *commands: Sequence[str]) -> None:
        def action() -> None:
            for command in commands:
                self._headwater(*command)

        self._time(step, action)

    def _headwater(self, *arguments: str) -> None:
        self.console.print(f"[dim]$ headwater {' '.join(arguments)}")
        run_command(self.settings, [sys.executable, "-m", "headwater.cli", *arguments])

    def _job(self, job: str, *arguments: str) -> None:
        self.console.print(f"[dim]$ python spark_jobs/{job}.py {' '.join(arguments)}")
        run_command(self.settings, [sys.executable, f"spark_jobs/{job}.py", *arguments])

    def _start_streams(self) -> None:
        """Unpause the `streams` DAG and wait until its task has started the stream."""
        from headwater.streaming.supervision import running_streams

        self.airflow.set_paused("streams", paused=False)
        if not running_streams():
            self.airflow.trigger("streams")
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while not running_streams():
            if time.monotonic() > deadline:
                raise RetryableError("the stream was not started", remedy="look at the DAG `streams` in Airflow's UI")
            time.sleep(0.5)

    def _change_history(self) -> None:
        """Read households and products before and after their dated changes, so that both versions are known."""
        tables = ("households", "products")
        for table in tables:
            self._job("ingest_batch", "--dataset", table)
        self._headwater("source", "change")

    def _wait_for_bronze(self) -> None:
        """Until the ledger says that no offset of any topic is unaccounted for."""
        from headwater.streaming.ledger import unaccounted

        deadline = time.monotonic() + CATCH_UP_SECONDS
        with self.console.status("waiting for the stream") as status:
            while (left := unaccounted()) > 0:
                if time.monotonic() > deadline:
                    raise RetryableError(
                        f"{left:,} offsets are not in bronze after {CATCH_UP_SECONDS:.0f} s",
                        remedy="`headwater stream status` says what the stream does",
                    )
                status.update(f"{left:,} offsets to go")
                time.sleep(0.5)
        self.console.print("unaccounted = 0")

    def _run_pipeline(self) -> None:
        """Trigger the DAG and show its tasks until it has ended."""
        self.airflow.set_paused(PIPELINE, paused=False)
        run_id = self.airflow.trigger(PIPELINE)
        self.console.print(f"{self.airflow.url}/dags/{PIPELINE}/runs/{run_id}", soft_wrap=True, highlight=False)
        with self.console.status("tasks") as status:

            def show(states: Counter[str], total: int) -> None:
                status.update(f"{states['success']} of {total} tasks done, {states['running']} running")

            state = self.airflow.wait(PIPELINE, run_id, seconds=PIPELINE_SECONDS, on_progress=show)
        if state != "success":
            failed = [t["task_id"] for t in self.airflow.tasks(PIPELINE, run_id) if t["state"] == "failed"]
            raise TerminalError(
                f"the run of {PIPELINE} ended as {state}; failed: {', '.join(failed)}",
                where=f"{self.airflow.url}/dags/{PIPELINE}/runs/{run_id}",
                remedy="each failed task's log ends with the reason",
            )


def source_week(day: date) -> int:
    """The source's week that holds the moment before `day`; its week 2 begins on Monday, 2017-01-02, early."""
    return max(1, (day - FIRST_MONDAY).days // 7 + 2)
