"""Airflow's runs, by its REST API: the one interface that Airflow keeps stable; its database is its own.

Where no Airflow answers, within seconds, that is said as `RunsUnavailable`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from headwater.errors import RetryableError
from headwater.settings import LOOPBACK, Settings

SECONDS = 5.0
_FIELDS = ("dag_id", "state", "run_type", "logical_date", "start_date", "end_date", "data_interval_start")
_SHOWN = (*_FIELDS, "data_interval_end", "run_after")


class RunsUnavailable(RetryableError):
    """Airflow does not answer, or not us."""


class Runs:
    """Reads runs as the admin of the settings; what they were given (`conf`) is not told. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._url = (settings.airflow_url or f"http://{LOOPBACK}:{settings.airflow_port}").rstrip("/")
        self._password = settings.airflow_admin_password
        self._client = httpx.Client(base_url=self._url, timeout=SECONDS)
        self._lock = threading.Lock()
        self._token = ""

    def newest(self, dag: str, states: list[str], limit: int, offset: int) -> dict[str, Any]:
        """Runs of this DAG (`~`: of all), newest first: {items, total}. Raises `RunsUnavailable`."""
        wanted = {"limit": limit, "offset": offset, "order_by": "-run_after", "state": states}
        answer = self._get(f"/api/v2/dags/{dag}/dagRuns", wanted)
        if answer is None:
            return {"items": [], "total": 0}
        items = [
            {"run_id": run["dag_run_id"], **{name: run.get(name) for name in _SHOWN}} for run in answer["dag_runs"]
        ]
        return {"items": items, "total": answer["total_entries"]}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _get(self, path: str, parameters: Mapping[str, Any]) -> Any:
        try:
            response = self._client.get(path, params=dict(parameters), headers=self._authorization())
            if response.status_code == HTTPStatus.UNAUTHORIZED:
                self._token = ""
                response = self._client.get(path, params=dict(parameters), headers=self._authorization())
            if response.status_code == HTTPStatus.NOT_FOUND:
                return None
            response.raise_for_status()
            return response.json()
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise RunsUnavailable(
                f"Airflow does not answer ({type(error).__name__})", where="Airflow", remedy="`headwater status`"
            ) from error

    def _authorization(self) -> dict[str, str]:
        with self._lock:
            if not self._token:
                given = {"username": "admin", "password": self._password.get_secret_value()}
                response = self._client.post("/auth/token", json=given)
                response.raise_for_status()
                self._token = response.json()["access_token"]
            return {"Authorization": f"Bearer {self._token}"}
