"""A small client of Airflow's REST API: start a DAG run, follow its tasks to the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx

from headwater.errors import RetryableError, TerminalError
from headwater.settings import LOOPBACK, Settings

POLL_SECONDS = 1.0
FINAL_RUN_STATES = frozenset({"success", "failed"})


class Airflow:
    """The REST API of one Airflow, as the admin user of the settings."""

    def __init__(self, settings: Settings) -> None:
        self.url = f"http://{LOOPBACK}:{settings.airflow_port}"
        self._password = settings.airflow_admin_password
        self._client = httpx.Client(base_url=self.url, timeout=30.0)
        self._authorized = False

    def request(self, method: str, path: str, **kwargs: Any) -> Any:
        """One call of `/api/v2`. Raises `RetryableError` when nobody answers, `TerminalError` when it is refused."""
        try:
            if not self._authorized:
                self._log_in()
            response = self._client.request(method, f"/api/v2{path}", **kwargs)
        except httpx.TransportError as error:
            raise RetryableError(
                f"Airflow does not answer: {error}",
                where=self.url,
                remedy="see `headwater status`, then `headwater up`",
            ) from error
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._authorized = False
        if response.is_error:
            raise TerminalError(
                f"Airflow answered {response.status_code}: {response.text[:300]}", where=f"{method} {path}"
            )
        return response.json() if response.content else None

    def _log_in(self) -> None:
        credentials = {"username": "admin", "password": self._password.get_secret_value()}
        response = self._client.post("/auth/token", json=credentials)
        response.raise_for_status()
        self._client.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
        self._authorized = True

    def set_paused(self, dag_id: str, *, paused: bool) -> None:
        """Pause or unpause a DAG."""
        self.request("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def trigger(self, dag_id: str) -> str:
        """Start a run now; returns its run id."""
        body = {"logical_date": datetime.now(UTC).isoformat()}
        run: dict[str, Any] = self.request("POST", f"/dags/{dag_id}/dagRuns", json=body)
        return str(run["dag_run_id"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run, with state, start and duration in seconds."""
        answer = self.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 500})
        return list(answer["task_instances"])

    def wait(
        self,
        dag_id: str,
        run_id: str,
        *,
        seconds: float,
        on_progress: Callable[[Counter[str], int], None] = lambda states, total: None,
    ) -> str:
        """Follow a run until it ends and return its state. Raises `RetryableError` after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = str(self.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])
            tasks = self.tasks(dag_id, run_id)
            on_progress(Counter(str(task["state"]) for task in tasks), len(tasks))
            if state in FINAL_RUN_STATES:
                return state
            time.sleep(POLL_SECONDS)
        raise RetryableError(
            f"run {run_id} of {dag_id} is not done after {seconds:.0f} s", where=self.url, remedy="look at it in the UI"
        )
