"""The REST interface of a Kafka Connect worker, as far as change data capture needs it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from headwater.errors import RetryableError, TerminalError
from headwater.settings import Settings, get_settings

TIMEOUT_SECONDS = 30.0
"""The worker answers slowly while it rebalances, which every change of a connector makes it do."""
REBALANCING = httpx.codes.CONFLICT
POLL_SECONDS = 0.1


class WorkerUnavailableError(RetryableError):
    """The worker cannot be reached, or is not able to answer now."""


class WorkerRefusedError(TerminalError):
    """The worker answers, and refuses: most often a configuration that it cannot use."""


@dataclass(frozen=True, slots=True)
class State:
    """What a connector does: RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED or RESTARTING; the trace of a failure."""

    connector: str
    tasks: tuple[str, ...]
    trace: str = ""

    @property
    def running(self) -> bool:
        """Whether the connector and every task of it run."""
        return self.connector == "RUNNING" and bool(self.tasks) and set(self.tasks) == {"RUNNING"}

    @property
    def failed(self) -> bool:
        """Whether any of it has failed."""
        return "FAILED" in (self.connector, *self.tasks)

    @property
    def halted(self) -> bool:
        """Whether somebody has stopped it, or paused it."""
        return self.connector in ("STOPPED", "PAUSED")

    @property
    def cause(self) -> str:
        """The innermost reason of a failure, in one line."""
        lines = [line.strip() for line in self.trace.splitlines() if line and not line.startswith("\t")]
        return lines[-1].removeprefix("Caused by: ") if lines else ""


class Worker:
    """One connection to the worker; a context manager. Every method raises the two errors above."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._url = (settings or get_settings()).connect_url
        self._http = httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def connectors(self) -> list[str]:
        """Names of all connectors."""
        return list(self._call("GET", "/connectors"))

    def config(self, name: str) -> dict[str, str] | None:
        """The configuration of a connector, without its name; None where there is none."""
        found = self._call("GET", f"/connectors/{name}/config", absent=None)
        return None if found is None else {key: value for key, value in found.items() if key != "name"}

    def configure(self, name: str, config: Mapping[str, str]) -> None:
        """Make the connector, or give it another configuration."""
        self._call("PUT", f"/connectors/{name}/config", {"name": name, **config})

    def state(self, name: str) -> State | None:
        """What the connector does; None where there is none, or where it has just been made."""
        found = self._call("GET", f"/connectors/{name}/status", absent=None)
        if found is None:
            return None
        parts = [found["connector"], *found["tasks"]]
        trace = next((part["trace"] for part in parts if part.get("trace")), "")
        return State(parts[0]["state"], tuple(part["state"] for part in parts[1:]), trace)

    def restart_failed(self, name: str) -> bool:
        """Start what has failed of a connector again; whether there was anything."""
        state = self.state(name)
        if state is None or not state.failed:
            return False
        self.restart(name, only_failed=True)
        return True

    def restart(self, name: str, *, only_failed: bool) -> None:
        """Start the connector and its tasks again, all or what has failed; it is not awaited."""
        only = str(only_failed).lower()
        self._call("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed={only}")

    def offsets(self, name: str) -> list[dict[str, Any]]:
        """The positions that a connector has stored, as the connector writes them; empty where there are none."""
        found = self._call("GET", f"/connectors/{name}/offsets", absent={"offsets": []})
        return [one["offset"] or {} for one in found["offsets"]]

    def stop(self, name: str) -> None:
        """Stop the connector, and wait until it has no task any more; its positions stay."""
        self._call("PUT", f"/connectors/{name}/stop")
        self.await_state(name, "stop", lambda state: state.connector == "STOPPED" and not state.tasks)

    def resume(self, name: str) -> None:
        """Have a connector that was stopped go on; it is not awaited."""
        self._call("PUT", f"/connectors/{name}/resume")

    def remove(self, name: str) -> None:
        """Stop the connector, forget its positions and remove it; does nothing where there is none."""
        if self.config(name) is None:
            return
        self.stop(name)
        self._call("DELETE", f"/connectors/{name}/offsets")
        self._call("DELETE", f"/connectors/{name}")

    def await_state(self, name: str, verb: str, reached: Any, seconds: float = 60.0) -> State:
        """Wait until the connector's state is as asked. Raises `WorkerUnavailableError` when it takes too long."""
        deadline = time.monotonic() + seconds
        while True:
            state = self.state(name)
            if state is not None and reached(state):
                return state
            if time.monotonic() > deadline:
                raise WorkerUnavailableError(
                    f"connector {name} did not {verb} within {seconds:.0f} s: {state}",
                    where=self._url,
                    remedy="see `headwater cdc status` and `headwater logs connect`",
                )
            time.sleep(POLL_SECONDS)

    def _call(self, method: str, path: str, body: Any = None, absent: Any = ...) -> Any:
        """The parsed answer. A 404 gives `absent` where that is given; a rebalance (409) is waited for."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            with self._answered():
                answer = self._http.request(method, self._url + path, json=body)
            if answer.status_code != REBALANCING or time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        if answer.status_code == httpx.codes.NOT_FOUND and absent is not ...:
            return absent
        if answer.is_success:
            return answer.json() if answer.content else None
        raise self._error(answer, method, path)

    @contextmanager
    def _answered(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise WorkerUnavailableError(
                f"the Kafka Connect worker does not answer: {type(error).__name__}",
                where=self._url,
                remedy="start it with `headwater up connect`, or correct HEADWATER_CONNECT_URL",
            ) from error

    def _error(self, answer: httpx.Response, method: str, path: str) -> RetryableError | TerminalError:
        try:
            said = str(answer.json().get("message", answer.reason_phrase))
        except (ValueError, AttributeError):
            said = answer.reason_phrase
        place = f"{self._url}, {method} {path}"
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or answer.status_code == REBALANCING:
            return WorkerUnavailableError(
                f"the worker cannot answer now ({answer.status_code}): {said}",
                where=place,
                remedy="try again; see `headwater logs connect`",
            )
        return WorkerRefusedError(
            f"the worker refuses ({answer.status_code}): {said}", where=place, remedy="see `headwater logs connect`"
        )
