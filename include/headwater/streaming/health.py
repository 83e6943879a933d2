"""Is a stream well, and what is to be done about it? Judged from its lease's row alone, so that anybody may judge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from headwater.settings import Settings
from headwater.streaming.lease_rows import LeaseRow, Wanted

LIVING = ("running", "waiting", "retrying")
"""States of a stream that is being read, or that will be as soon as what it waits for is there."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a stream's row says.

    `condition`: its state, or `dead` (its process is gone), `mute` (alive, and tells nothing), `stalled` (alive, with
    lag, and without progress), `given up`. `sick`: somebody must know. `start`: it is to be started; `end`: what is
    left of it is to be ended first; `counts`: that costs one of its restarts.
    """

    condition: str
    reason: str = ""
    sick: bool = False
    start: bool = False
    end: bool = False
    counts: bool = False


def judge(row: LeaseRow, settings: Settings) -> Verdict:
    """The verdict on one stream."""
    if row.given_up:
        return Verdict("given up", row.given_up, sick=True)
    if row.alive:
        return _of_living(row, timedelta(seconds=settings.stream_stall_seconds))
    if row.state == "failed":
        return Verdict("failed", row.reason, sick=True)
    if row.wanted != Wanted.RUNNING:
        return Verdict("stopped", row.reason or f"{row.wanted}, as was asked for")
    if not row.held:
        return Verdict(row.state or "never started", row.reason, start=True)
    if row.gone or not row.here:
        how = f"its process ({row.holder}) is gone" if row.gone else f"its lease has expired; it was {row.holder}"
        how += f"; {row.reason}" if row.reason else ""
        return Verdict("dead", how, sick=True, start=True, counts=True)
    how = f"its lease has expired, though its process ({row.holder}) is there: it hangs, or was stopped"
    return Verdict("mute", how, sick=True, start=True, end=True, counts=True)


def _of_living(row: LeaseRow, bound: timedelta) -> Verdict:
    if row.wanted != Wanted.RUNNING:
        return Verdict(row.state, row.reason)
    if row.age(row.beat_at) > bound:
        why = f"it holds its lease and has told nothing for {_long(row.age(row.beat_at))}"
        return Verdict("mute", why, sick=True, start=True, end=True, counts=True)
    stalled = stalled_for(row)
    if stalled is None or stalled <= bound:
        return Verdict(row.state, row.reason)
    lag = sum(row.report.get("lag", {}).values())
    why = f"no progress for {_long(stalled)} with a lag of {lag:,}" + (f": {row.reason}" if row.reason else "")
    if row.state in ("waiting", "retrying"):  # it says itself what it lacks: another process would lack it too
        return Verdict("stalled", why, sick=True)
    return Verdict("stalled", why, sick=True, start=True, end=True, counts=True)


def stalled_for(row: LeaseRow) -> timedelta | None:
    """How long there has been lag without progress, by the holder's own clock; None where there is none."""
    since, told = row.told("stalled_since"), row.told("heartbeat_at")
    return None if since is None or told is None else told - since


def forgiven(row: LeaseRow, verdict: Verdict, settings: Settings) -> bool:
    """Whether a stream that was restarted has been well for long enough to have its whole budget again."""
    well = row.alive and not verdict.sick
    return (
        bool(row.restarts)
        and well
        and row.age(row.restarted_at).total_seconds() > (settings.stream_restart_forgiven_seconds)
    )


def _long(time: timedelta) -> str:
    return f"{time.total_seconds():,.0f} s"
