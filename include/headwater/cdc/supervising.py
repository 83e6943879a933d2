"""One look at the connector and its worker, every minute, by the DAG `streams`.

A worker that is lost is started again (the embedded one; another's is told), and so are tasks that have failed or that
stand still: at once the first time, then after pauses that double, until the budget of restarts is used up. Then they
stay as they are and say why, until a person runs `headwater cdc apply`. What a restart cannot mend costs none: while
source, registry or broker are away a failed task waits for them, and a slot that was lost is told at once, because only
reading everything anew helps. A connector that people have stopped or paused is left alone.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from typing import Any

import httpx
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from headwater.cdc import restarts
from headwater.cdc.connector import Capture, capture_of
from headwater.cdc.source import connected
from headwater.cdc.status import Slot, heartbeat_of, slot_of
from headwater.cdc.worker import State, Worker, WorkerUnavailableError
from headwater.contracts.loader import load_contracts
from headwater.embedded import connect, stack
from headwater.errors import HeadwaterError
from headwater.kafka import client_config
from headwater.settings import Settings, get_settings
from headwater.streaming.pauses import pause_after, postponed

log = logging.getLogger(__name__)

SETTLE_SECONDS = 60.0
"""So long a restart is watched until it runs: a new worker waits for the old one's session to end."""
STALE_SECONDS = 5.0
"""So long the worker may still tell of the failure before the restart."""
ANSWER_SECONDS = 5.0
"""So long registry and broker have to answer."""
SET_ASIDE = "when that is mended: `headwater cdc apply`"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a connector at one moment.

    `worker`: why its worker does not answer, or nothing; `lacks`: what a task would miss if it were started now.
    `heartbeat` is the age of the last one in seconds; `snapshot`: it still reads the tables as they were at first.
    """

    worker: str = ""
    state: State | None = None
    slot: Slot | None = None
    heartbeat: float | None = None
    snapshot: bool = False
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`start`: it is to be started again; `over`: no restart will help. A reason with neither is for people to read."""

    condition: str
    reason: str = ""
    start: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, and what was done: `restarted`, `given up`, `waits` or nothing; what came of it in `note`."""

    connector: str
    found: str
    reason: str
    did: str = ""
    note: str = ""

    def facts(self) -> dict[str, Any]:
        """For `--json`, which is the DAG's record."""
        return asdict(self)


def supervise(settings: Settings | None = None) -> Look | None:
    """One look, and what follows from it; None where no contract captures changes.

    What a restart ends with is told in the look, not raised. Raises `LeaseUnreachable` where nobody can count.
    """
    settings = settings or get_settings()
    capture = capture_of(settings, load_contracts(settings.contracts_dir))
    if not capture.datasets:
        return None
    with restarts.connected(settings) as connection:
        row = restarts.read(connection, capture.connector)
        verdict = judge(observe(settings, capture), settings)
        look = Look(capture.connector, verdict.condition, verdict.reason)
        if verdict.condition == "running":
            if row.given_up or row.well_since(settings.stream_restart_forgiven_seconds):  # somebody has mended it
                restarts.forgive(connection, capture.connector)
            return look
        if row.given_up and verdict.condition != "stopped":
            return Look(look.connector, look.found, look.reason, "given up", row.given_up)
        if verdict.over or (verdict.start and row.restarts >= settings.stream_restart_budget):
            why = f"{verdict.condition}: {verdict.reason}"
            why = why if verdict.over else f"given up after {row.restarts} restarts; the last time: {why}"
            restarts.give_up(connection, capture.connector, f"{why} → {SET_ASIDE}")
            return Look(look.connector, look.found, look.reason, "given up", why)
        if not verdict.start:
            return look
        if later := postponed(row):
            return Look(look.connector, look.found, look.reason, "waits", later)
        if not restarts.count(connection, row, pause_after(row, settings), f"{verdict.condition}: {verdict.reason}"):
            return Look(look.connector, look.found, look.reason, "waits", "somebody else has just started it again")
    note = _start(settings, capture, verdict)
    return Look(look.connector, look.found, look.reason, "restarted", note)


def observe(settings: Settings, capture: Capture) -> Seen:
    """Ask worker, source, registry and broker; whatever does not answer is part of what is seen."""
    lacks: list[str] = []
    slot, heartbeat = None, None
    try:
        with connected(settings, capture.database) as connection:
            slot, heartbeat = slot_of(connection, capture), heartbeat_of(connection, capture)
    except HeadwaterError as error:
        lacks.append(f"the source: {error.what}")
    lacks += filter(None, (_registry_fault(settings), _broker_fault(settings)))
    try:
        with Worker(settings) as worker:
            state = worker.state(capture.connector)
            offsets = worker.offsets(capture.connector) if state is not None else []
    except WorkerUnavailableError as error:
        return Seen(worker=error.what, slot=slot, heartbeat=heartbeat, lacks="; ".join(lacks))
    snapshot = not offsets or any(offset.get("snapshot") for offset in offsets)
    return Seen("", state, slot, heartbeat, snapshot, "; ".join(lacks))


def judge(seen: Seen, settings: Settings) -> Verdict:
    """What follows from what was seen; what is counted and postponed is not part of it."""
    if seen.worker:
        own = not connect.SERVICE.elsewhere(settings)
        return Verdict("no worker", seen.worker if own else f"{seen.worker}; it is not ours to start", start=own)
    if seen.state is None:
        return Verdict("not applied", "`headwater cdc apply` makes the connector")
    if seen.state.halted:
        return Verdict("stopped", f"somebody has {seen.state.connector.lower()} it; `headwater cdc apply` goes on")
    if seen.state.failed:
        return _of_failed(seen, seen.state.cause)
    if not seen.state.running:
        return Verdict("starting", f"connector {seen.state.connector}, tasks: {', '.join(seen.state.tasks) or 'none'}")
    bound = settings.stream_stall_seconds
    if seen.heartbeat is not None and seen.heartbeat > bound and not seen.snapshot and not seen.lacks:
        return Verdict("stalled", f"no heartbeat for {seen.heartbeat:,.0f} s, though it is said to run", start=True)
    return Verdict("running", seen.lacks)


def _of_failed(seen: Seen, cause: str) -> Verdict:
    if seen.lacks:
        return Verdict("failed", f"{cause}; a new start would lack {seen.lacks}")
    if not seen.snapshot and (seen.slot is None or seen.slot.wal_status == "lost"):
        remedy = "`headwater cdc remove --yes`, then `headwater cdc apply` reads all anew"
        return Verdict("failed", f"its replication slot is lost, and changes with it ({cause}): {remedy}", over=True)
    return Verdict("failed", cause, start=True)


def _start(settings: Settings, capture: Capture, verdict: Verdict) -> str:
    """Start the worker, or what failed or stands still in it; what came of it within a little time."""
    try:
        if verdict.condition == "no worker":
            stack.up(["connect"], lambda name, text: log.info("%s: %s", name, text))
        with Worker(settings) as worker:
            if verdict.condition != "no worker":
                worker.restart(capture.connector, only_failed=verdict.condition == "failed")
            asked = time.monotonic()
            state = worker.await_state(
                capture.connector,
                "start",
                lambda one: one.running or (one.failed and time.monotonic() - asked > STALE_SECONDS),
                SETTLE_SECONDS,
            )
    except HeadwaterError as error:
        log.error("%s", error)
        return str(error)
    # For now: a task runs until it comes to the record that it failed at, and the next look sees that.
    return f"fails again: {state.cause}" if state.failed else "it runs"


def _broker_fault(settings: Settings) -> str:
    """Why the broker does not answer, or nothing."""
    try:
        AdminClient(dict(client_config(settings, log_level=0))).list_topics(timeout=ANSWER_SECONDS)
    except KafkaException as error:
        return f"the broker: {error.args[0].str()}"
    return ""


def _registry_fault(settings: Settings) -> str:
    """Why the registry does not answer, or nothing; any answer of its own will do."""
    try:
        answer = httpx.get(
            f"{settings.registry_url}/subjects",
            timeout=ANSWER_SECONDS,
            verify=settings.registry_ssl_ca_location or True,
        )
    except httpx.TransportError as error:
        return f"the registry: {type(error).__name__} at {settings.registry_url}"
    failed = answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
    return f"the registry: it answers {answer.status_code}" if failed else ""
