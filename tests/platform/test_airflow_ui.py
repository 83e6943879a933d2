"""What people do in Airflow's web interface, in a real Chromium: read a run and a log, retry one dataset, backfill."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.platform.airflow_ui import AirflowUI, airflow_ui
from tests.truth.expected import Truth
from tests.truth.readers import READERS

from headwater.demo.airflow import Airflow
from headwater.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.browser, pytest.mark.timeout(1800)]

MONDAY, TUESDAY, SUNDAY = (date(2017, 1, day) for day in (2, 3, 8))
BACKFILL_SECONDS = 1_500.0


@pytest.fixture(scope="module")
def ui(platform: Settings) -> Iterator[AirflowUI]:
    """Logged in. HEADWATER_SCREENSHOTS=<folder> keeps pictures, as those of docs/images/ were made."""
    folder = os.environ.get("HEADWATER_SCREENSHOTS")
    with airflow_ui(platform, Path(folder) if folder else None) as browser:
        yield browser


@pytest.fixture(scope="module")
def airflow(platform: Settings) -> Airflow:
    return Airflow(platform)


def last_success(airflow: Airflow, dag_id: str) -> str:
    """The newest successful run of a DAG."""
    runs = airflow.request("GET", f"/dags/{dag_id}/dagRuns", params={"state": "success", "order_by": "-run_after"})
    return str(runs["dag_runs"][0]["dag_run_id"])


def test_the_dags_are_listed(ui: AirflowUI) -> None:
    ui.open("dags")
    for dag_id in ("ledger", "loyalty", "loyalty_restate", "maintenance", "streams"):
        expect(ui.page.locator(f"a[data-testid=dag-id][href='/dags/{dag_id}']")).to_be_visible()
    ui.shoot("airflow-dags")


def test_a_run_shows_a_task_per_dataset_and_stage(ui: AirflowUI, airflow: Airflow) -> None:
    ui.open(f"dags/loyalty/runs/{last_success(airflow, 'loyalty')}")
    expect(ui.page.get_by_text("gold.fct_sales").first).to_be_visible()
    ui.shoot("airflow-run")


def test_a_log_ends_with_what_the_job_did(ui: AirflowUI, airflow: Airflow) -> None:
    ui.open(f"dags/loyalty/runs/{last_success(airflow, 'loyalty')}/tasks/silver.stores")
    expect(ui.page.get_by_text('"dataset": "stores"').first).to_be_visible()
    ui.shoot("airflow-log")


def test_one_dataset_is_retried_alone(ui: AirflowUI, airflow: Airflow) -> None:
    run_id = last_success(airflow, "loyalty")
    before = tries(airflow, run_id)
    ui.clear_task("loyalty", run_id, "silver.stores")
    deadline = time.monotonic() + 300
    while tries(airflow, run_id)["silver.stores"] == before["silver.stores"]:
        assert time.monotonic() < deadline, "the task did not run again"
        time.sleep(1)
    assert airflow.wait("loyalty", run_id, seconds=300) == "success"
    after = tries(airflow, run_id)
    again = {task for task in after if after[task] > before[task]}
    assert "silver.stores" in again
    assert not {task for task in again if task.startswith(("bronze.", "silver.")) and task != "silver.stores"}


def tries(airflow: Airflow, run_id: str) -> dict[str, int]:
    """How often each task of a run was tried."""
    return {task["task_id"]: int(task["try_number"]) for task in airflow.tasks("loyalty", run_id)}


@pytest.mark.parametrize("last", [TUESDAY, pytest.param(SUNDAY, marks=pytest.mark.thorough)])
def test_days_of_a_week_are_backfilled(ui: AirflowUI, airflow: Airflow, truth: Truth, last: date) -> None:
    days = backfilled(airflow, ui, MONDAY, last)
    assert len(days) == (last - MONDAY).days + 1
    for place in READERS:
        assert truth.differences("fct_sales", READERS[place]("fct_sales")) == []
    ui.open("dags/loyalty_restate/backfills")
    ui.shoot("airflow-backfills")


@pytest.mark.thorough
def test_a_day_that_had_completed_runs_anew_and_changes_nothing(ui: AirflowUI, airflow: Airflow, truth: Truth) -> None:
    days = backfilled(airflow, ui, MONDAY, MONDAY)
    assert len(days) == 1
    for place in READERS:
        assert truth.differences("fct_sales", READERS[place]("fct_sales")) == []


def backfilled(airflow: Airflow, ui: AirflowUI, first: date, last: date) -> dict[str, str]:
    """Backfill these days by the form; every backfilled run with its start, once all of them have ended."""
    begun = datetime.now(UTC).isoformat()
    ui.backfill("loyalty_restate", first, last)
    wanted = (last - first).days + 1
    deadline = time.monotonic() + BACKFILL_SECONDS
    while len(done := ended_since(airflow, begun)) < wanted or not all_completed(airflow):
        assert time.monotonic() < deadline, f"{len(done)} of {wanted} days have ended"
        time.sleep(1)
    assert {run["state"] for run in done} == {"success"}
    return {run["dag_run_id"]: run["start_date"] for run in done}


def ended_since(airflow: Airflow, begun: str) -> list[dict[str, str]]:
    """Backfilled runs that started after `begun` and have ended."""
    runs = airflow.request("GET", "/dags/loyalty_restate/dagRuns", params={"limit": 100})["dag_runs"]
    backfills = [run for run in runs if run["run_type"] == "backfill" and run["end_date"] and run["start_date"]]
    return [run for run in backfills if run["start_date"].replace("Z", "+00:00") > begun]


def all_completed(airflow: Airflow) -> bool:
    """Whether no backfill is under way any more: Airflow takes one at a time per DAG."""
    backfills = airflow.request("GET", "/backfills", params={"dag_id": "loyalty_restate"})["backfills"]
    return all(backfill["completed_at"] for backfill in backfills)
