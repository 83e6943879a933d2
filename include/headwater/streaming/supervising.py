"""One look at all streams, by the DAG `streams` and by the watcher: what should run is compared with what does.

What is missing is started, what hangs is ended and started again, each time after a longer pause, until its budget of
restarts is used up; then it stays stopped and says why. A stream that has failed with a reason that stays, and one that
people have stopped, are left alone; so is one that another host reads. A living application is never doubled: it is
found by its pid file or by its lease.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from headwater.errors import HeadwaterError, TerminalError
from headwater.settings import Settings, get_settings
from headwater.streaming.declared import streams
from headwater.streaming.events import Event, record
from headwater.streaming.health import forgiven, judge
from headwater.streaming.launching import launcher
from headwater.streaming.lease import RENEWALS
from headwater.streaming.lease_rows import (
    CONNECT_SECONDS,
    LeaseRow,
    Wanted,
    connected,
    count_restart,
    forgive,
    give_up,
    note_failure,
    read_rows,
    rows_of,
)
from headwater.streaming.pauses import pause_after, postponed
from headwater.streaming.supervision import WAIT_SECONDS, StreamStatus, one_at_a_time, see_to, start

log = logging.getLogger(__name__)

IDLE = ("", "waits")
"""What a look says it did where it did nothing."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found of one stream, and what was done: `started`, `restarted`, `given up`, `waits` or nothing."""

    dataset: str
    found: str
    reason: str
    did: str = ""
    note: str = ""

    def facts(self) -> dict[str, Any]:
        """For `--json`, which is the DAG's record."""
        return {"dataset": self.dataset, "found": self.found, "reason": self.reason, "did": self.did, "note": self.note}


class Sick(TerminalError):
    """A stream is not well, and nothing mends it by itself, or nothing has yet."""


def supervise(*, by: str = "look", wait_seconds: float = WAIT_SECONDS) -> list[Look]:
    """One look at all declared streams, and what follows from it; what was done is on record as done by `by`.

    What a start ends with is told in the look, not raised: the other streams are looked after all the same.
    Raises `LeaseUnreachable`.
    """
    settings = get_settings()
    names = [dataset.name for dataset in streams()]
    with one_at_a_time(settings):
        with connected(settings) as connection:
            began, rows = time.monotonic(), _settled(connection, names, settings)
            looks = {name: _decide(connection, row, settings) for name, row in rows.items()}
        begun = [name for name, look in looks.items() if look.did in ("started", "restarted")]
        if any(
            looks[name].did == "given up" or name in begun for name, row in rows.items() if judge(row, settings).end
        ):
            begun += _end_sick(settings, rows, begun)
        note = _start(settings, begun, wait_seconds) if begun else ""
        done = [
            replace(look, did=look.did or "restarted with the others", note=note) if name in begun else look
            for name, look in looks.items()
        ]
        seconds = round(time.monotonic() - began, 1)
        record(settings, [Event(**look.facts(), by=by, seconds=seconds) for look in done if look.did not in IDLE])
    return done


def _settled(connection: psycopg.Connection, names: Sequence[str], settings: Settings) -> dict[str, LeaseRow]:
    """The rows, once it is clear that a holder which looks silent is so.

    Where Postgres was away for longer than a lease, all have expired when it is back, and those that live renew theirs
    a moment later: they must not be ended for that.
    """
    deadline = time.monotonic() + 2 * settings.stream_lease_seconds / RENEWALS + CONNECT_SECONDS
    while True:
        rows = rows_of(connection, names)
        silent = any(judge(row, settings).condition in ("mute", "dead") and not row.gone for row in rows.values())
        if not silent or time.monotonic() > deadline:
            return rows
        time.sleep(0.2)


def _decide(connection: psycopg.Connection, row: LeaseRow, settings: Settings) -> Look:
    """What is to be done about one stream; a restart is counted now, whatever comes of it."""
    verdict = judge(row, settings)
    look = Look(row.dataset, verdict.condition, verdict.reason)
    if forgiven(row, verdict, settings):
        forgive(connection, [row.dataset])
    if not verdict.start:
        return look
    if verdict.condition == "stalled" and (lacks := launcher(settings).complaint(row)):
        return replace(look, did="waits", note=lacks)
    if not verdict.counts and not row.restarts:
        return replace(look, did="started")
    if row.restarts >= settings.stream_restart_budget:
        why = f"given up after {row.restarts} restarts; the last time: {verdict.condition}: {verdict.reason}"
        give_up(connection, row.dataset, f"{why} → when that is mended: `headwater stream start {row.dataset}`")
        return replace(look, did="given up")
    if later := postponed(row):
        return replace(look, did="waits", note=later)
    if not count_restart(connection, row, pause_after(row, settings)):
        return replace(look, did="waits", note="another supervisor restarts it at this moment")
    return replace(look, did="restarted")


def _end_sick(settings: Settings, rows: Mapping[str, LeaseRow], begun: Sequence[str]) -> list[str]:
    """End an application in which a stream hangs, and name its others: they are to be started with the rest."""
    where = launcher(settings)
    application = where.poll(rows.values())
    carried = () if application is None else application.streams
    where.kill(sick=True)
    wanted = [name for name in carried if name in rows and rows[name].wanted == Wanted.RUNNING]
    return [name for name in wanted if name not in begun and not judge(rows[name], settings).sick]


def _start(settings: Settings, names: Sequence[str], wait_seconds: float) -> str:
    """Have these streams read; why that did not work, or nothing. A start that fails costs a restart too."""
    try:
        see_to(settings, names, wait_seconds)
    except HeadwaterError as error:
        log.error("%s", error)
        rows = read_rows(settings, names)
        with connected(settings) as connection:
            for row in rows.values():
                if not row.alive and row.state != "failed":
                    note_failure(connection, row, str(error))
                    if not row.restarts:
                        count_restart(connection, row, pause_after(row, settings))
        return str(error)
    return ""


def try_again(names: Sequence[str] = ()) -> list[str]:
    """Start those of these streams (default: all) once more that are given up or have failed; which these were.

    As `stream start`, but what people have stopped stays so. Raises what that raises.
    """
    settings = get_settings()
    rows = read_rows(settings, [dataset.name for dataset in streams(names)])
    found = [name for name, row in rows.items() if judge(row, settings).condition in ("given up", "failed")]
    if found:
        start(found)
    return found


def assert_well(statuses: Sequence[StreamStatus]) -> None:
    """Raise `Sick` with what is wrong with the first of these streams that is not well."""
    settings = get_settings()
    for status in statuses:
        verdict = judge(status.row, settings)
        if verdict.sick:
            known = postponed(status.row) or launcher(settings).complaint(status.row)
            raise Sick(
                f"{verdict.condition}: {verdict.reason}" + (f"; {known}" if known else ""),
                where=f"stream {status.dataset}",
                remedy="`headwater stream status` shows it; its log says more",
            )
