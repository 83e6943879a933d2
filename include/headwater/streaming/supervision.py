"""Starts, stops, drains and shows the streams, for people; `supervising` does it for the DAG.

All streams of a home run in one application, submitted and ended by `launching`. What people want of a stream stands
in its lease's row, so that it holds for whoever runs it, also on another host, and for the supervisor.
"""

from __future__ import annotations

import fcntl
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from headwater.embedded import processes
from headwater.embedded.errors import StartFailed
from headwater.errors import TerminalError
from headwater.settings import Settings, get_settings
from headwater.streaming.declared import streams
from headwater.streaming.events import Event, events_of
from headwater.streaming.health import LIVING, judge
from headwater.streaming.heartbeat import ENDED, retry_file
from headwater.streaming.launching import PROCESS, Application, launcher
from headwater.streaming.lease_rows import LeaseRow, Wanted, read_rows, want

WAIT_SECONDS = 180.0
EVENTS_SHOWN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream by its lease, and what supervisors did about it; `alive`: somebody holds it and has renewed it."""

    row: LeaseRow
    events: Sequence[Event] = ()

    @property
    def dataset(self) -> str:
        """Its name."""
        return self.row.dataset

    @property
    def alive(self) -> bool:
        """Whether its holder lives, as far as anybody can say."""
        return self.row.alive

    @property
    def heartbeat(self) -> dict[str, Any]:
        """What it last told; empty where it never ran."""
        row = self.row
        return {**row.report, "state": row.state, "reason": row.reason} if row.report else {}

    @property
    def state(self) -> str:
        """The state it last told, or `dead` where its process is gone without having said goodbye."""
        told = self.row.state or "never started"
        return "dead" if told not in (*ENDED, "never started") and not self.alive else told

    def facts(self) -> dict[str, Any]:
        """All that is known, for `--json`: what it told, its lease, how fresh it is, what is wanted, and the verdict.

        Ages are in seconds, by Postgres's clock and the holder's; None for what never was. `freshness`: bronze has all
        that the broker had so many seconds ago.
        """
        row, verdict = self.row, judge(self.row, get_settings())
        ages: dict[str, Any] = {
            "heartbeat_age": row.seconds_since(row.beat_at),
            "progress_age": row.seconds_since(row.told("last_progress_at")),
            "freshness": row.seconds_since(row.told("complete_at")),
            "lag_total": sum(row.report.get("lag", {}).values()),
        }
        lease = {"token": row.token, "holder": row.holder, "held": row.held, "expires_at": row.expires_at}
        restarts = {"restarts": row.restarts, "restart_due": row.restart_due, "given_up": row.given_up}
        told = {**self.heartbeat, "state": self.state, "alive": self.alive}
        judged = {"condition": verdict.condition, "sick": verdict.sick, "why": verdict.reason}
        known = {"dataset": row.dataset, **told, **ages, "lease": lease, "wanted": row.wanted, **restarts, **judged}
        return {**known, "events": [event.facts() for event in self.events]}


def start(names: Sequence[str] = (), *, wait_seconds: float = WAIT_SECONDS) -> bool:
    """See that these streams (default: all) are read, and wait until they are; whether an application was started.

    An application that runs without one of them is ended after its batch and started again with all of its own and
    these. A stream that has failed, that was stopped, or that the supervisor has given up, is tried once more.
    Raises `StartFailed` with the end of the log, `TerminalError` where a stream has failed.
    """
    settings = get_settings()
    wanted = [dataset.name for dataset in streams(names)]
    with one_at_a_time(settings):
        want(settings, wanted, Wanted.RUNNING)
        return see_to(settings, wanted, wait_seconds)


def see_to(settings: Settings, wanted: Sequence[str], wait_seconds: float) -> bool:
    """Have these streams read by one application; whether it was started now. What another host reads is left to it."""
    where, rows = launcher(settings), read_rows(settings, [dataset.name for dataset in streams()])
    wanted = [name for name in wanted if not (rows[name].alive and not rows[name].here)]
    application = where.poll(rows.values())
    if application is not None and set(wanted) <= set(application.streams):
        _revive(settings, application, [rows[name] for name in wanted])
        _await_streams(settings, application, wanted, wait_seconds)
        return False
    if not wanted:
        return False
    carried = () if application is None else application.streams
    _await_streams(settings, where.submit(together(rows, wanted, carried)), wanted, wait_seconds)
    return True


def together(rows: Mapping[str, LeaseRow], wanted: Sequence[str], carried: Sequence[str]) -> list[str]:
    """The wanted, and what else is being read; without what has ended and what has no contract any more."""
    others = {*carried} & {*rows} - {*wanted}
    return [*wanted, *sorted(name for name in others if _to_be_read(rows[name]))]


def _to_be_read(row: LeaseRow) -> bool:
    return row.wanted == Wanted.RUNNING and not row.given_up and row.state not in ENDED


@contextmanager
def one_at_a_time(settings: Settings) -> Iterator[None]:
    """The DAG and a person may ask at the same moment; the second then finds what the first has started."""
    lock = processes.run_dir(settings) / f"{PROCESS}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _revive(settings: Settings, application: Application, rows: Sequence[LeaseRow]) -> None:
    """Have the application try again what has ended in it, and wait until it has begun to."""
    # Where another holder has died since, its row still says `running`: here the stream ended when that one took over.
    ended = {r.dataset: r.token for r in rows if not r.alive and (r.state in ENDED or r.pid != application.pid)}
    if not ended:
        return
    for name in ended:
        retry_file(settings, name).parent.mkdir(parents=True, exist_ok=True)
        retry_file(settings, name).touch()
    application.running.process.send_signal(signal.SIGHUP)

    def begun() -> bool:
        return all(row.token != ended[name] for name, row in read_rows(settings, [*ended]).items())

    _await(lambda: begun() or not application.alive, 30.0)


def _await_streams(settings: Settings, application: Application, names: Sequence[str], seconds: float) -> None:
    """Until this very application reads them all, but those that have failed: `TerminalError`. Else `StartFailed`."""
    deadline = time.monotonic() + seconds
    while True:
        alive = application.alive
        own = [row for row in read_rows(settings, names).values() if row.pid == application.pid]
        failed = [row for row in own if row.state == "failed"]
        living = [row for row in own if row.state in LIVING and alive]
        late = not alive or time.monotonic() > deadline
        if failed and (late or len(failed) + len(living) == len(names)):
            raise refusal(failed[0])
        if len(living) == len(names):
            return
        if late:
            break
        time.sleep(0.2)
    unread = ", ".join(sorted({*names} - {row.dataset for row in living}))
    log = processes.log_file(settings, PROCESS)
    raise StartFailed(
        f"{f'{unread}: not read after {seconds:.0f} s' if alive else 'it ended'}; the end of its log:\n    "
        + "\n    ".join(processes.tail(log, 8)),
        where=PROCESS,
        remedy=f"see {log}, then `headwater stream start` again",
    )


def refusal(row: LeaseRow) -> TerminalError:
    """What a stream said when it gave up."""
    return TerminalError(
        row.reason or "it gave up",
        where=f"stream {row.dataset}",
        remedy=f"when that is mended: `headwater stream start {row.dataset}`",
    )


def stop(names: Sequence[str] = (), *, wait_seconds: float = WAIT_SECONDS) -> bool:
    """Let the batch of these streams (default: all) end, then end them, for good; whether any was being read.

    The application ends with the last of its streams.
    """
    return _wind_up(names, Wanted.STOPPED, wait_seconds)


def drain(names: Sequence[str] = (), *, wait_seconds: float = WAIT_SECONDS) -> bool:
    """The same, but let the live tables catch up with bronze first."""
    return _wind_up(names, Wanted.DRAINED, wait_seconds)


def _wind_up(names: Sequence[str], wanted: Wanted, seconds: float) -> bool:
    settings = get_settings()
    chosen = [dataset.name for dataset in streams(names)]
    with one_at_a_time(settings):
        where = launcher(settings)
        rows = read_rows(settings, [dataset.name for dataset in streams()])
        application = where.poll(rows.values())
        was_read = any(rows[name].alive for name in chosen)
        want(settings, chosen, wanted)
        carried = () if application is None else application.streams
        last = all(name in chosen or not rows[name].alive for name in carried if name in rows)
        if wanted is Wanted.STOPPED and last:
            return where.kill() or was_read
        _await(lambda: not any(row.alive for row in read_rows(settings, chosen).values()), seconds)
        if last:
            where.kill()
    return was_read


def restart(names: Sequence[str] = (), *, wait_seconds: float = WAIT_SECONDS) -> None:
    """End the application after its batches and start it anew, with all it read and these: an upgrade loses nothing."""
    settings = get_settings()
    wanted = [dataset.name for dataset in streams(names)]
    with one_at_a_time(settings):
        want(settings, wanted, Wanted.RUNNING)
        where, rows = launcher(settings), read_rows(settings, [dataset.name for dataset in streams()])
        application = where.poll(rows.values())
        carried = () if application is None else application.streams
        names = together(rows, wanted, carried)
        _await_streams(settings, where.submit(names), names, wait_seconds)


def running_streams() -> list[str]:
    """Names of the streams that are being read right now."""
    return [s.dataset for s in statuses() if s.alive and s.state in LIVING]


def statuses(names: Sequence[str] = ()) -> list[StreamStatus]:
    """What is known of these streams (default: all). Raises `LeaseUnreachable`."""
    settings, chosen = get_settings(), [dataset.name for dataset in streams(names)]
    events = events_of(settings, chosen, EVENTS_SHOWN)
    return [StreamStatus(row, events[name]) for name, row in read_rows(settings, chosen).items()]


def _await(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until it holds; False where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
