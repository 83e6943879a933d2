"""Brings source, topics and connector to what the contracts ask for; repeated, it finds nothing to do.

The order keeps what happens meanwhile: the publication has a table before the connector asks for it, the topic is
there before the first message, and a table that joins a connector which runs already is read by an incremental
snapshot while its changes stream. Whether that was asked for is noted in the source, in one transaction with the
signal, so that an `apply` that was killed is made good by the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

import psycopg

from headwater.cdc import restarts, source
from headwater.cdc.connector import HOW_TO_ASK, Capture, capture_of, captured_tables, connector_config
from headwater.cdc.snapshots import mark_read, request_missing
from headwater.cdc.worker import State, Worker
from headwater.contracts.loader import load_contracts
from headwater.contracts.topic import apply_topic, plan_topic
from headwater.errors import ContractError, TerminalError
from headwater.settings import Settings

START_SECONDS = 120.0
"""A task connects, makes its slot and begins its snapshot; it is RUNNING before the snapshot ends."""


class Place(StrEnum):
    """Where something is changed."""

    SOURCE = "source"
    TOPIC = "topic"
    CONNECTOR = "connector"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that applying does."""

    place: Place
    what: str

    def as_json(self) -> dict[str, str]:
        """The change as plain values."""
        return asdict(self)


def chosen(settings: Settings, names: Iterable[str]) -> Capture:
    """What to apply: every captured dataset, or these and those that the connector has already."""
    contracts, wanted = load_contracts(settings.contracts_dir), set(names)
    everything = capture_of(settings, contracts)
    if not wanted:
        return everything
    with Worker(settings) as worker:
        have = captured_tables(worker.config(everything.connector) or {})
    wanted |= {dataset.name for dataset in everything.datasets if dataset.source_name in have}
    return capture_of(settings, contracts, wanted)


def plan(settings: Settings, capture: Capture) -> list[Change]:
    """What `apply` would change; it changes nothing. Raises what stands in the way, as `apply` does."""
    with source.connected(settings, capture.database) as connection, Worker(settings) as worker:
        _demand_tables(capture)
        source.check(connection, capture)
        return [
            *(Change(Place.SOURCE, step.what) for step in source.steps(connection, capture)),
            *(Change(Place.TOPIC, what) for dataset in capture.datasets for what in plan_topic(settings, dataset)),
            *_connector_changes(settings, capture, worker),
            *(_read_anew(table) for table in _unseen(connection, capture, worker)),
        ]


def apply(settings: Settings, capture: Capture) -> Iterator[Change]:
    """Make the changes, yield each as it is done, and end when the connector runs.

    Raises `TerminalError` with the cause where its task fails (again).
    """
    forgive(settings, capture)
    with source.connected(settings, capture.database) as connection, Worker(settings) as worker:
        _demand_tables(capture)
        source.check(connection, capture)
        unseen = _unseen(connection, capture, worker)
        made = source.steps(connection, capture)
        with connection.transaction():  # published again, and to be read anew: both or neither
            source.perform(connection, made)
            if unseen:
                source.forget(connection, capture, unseen)
        yield from (Change(Place.SOURCE, step.what) for step in made)
        for dataset in capture.datasets:
            yield from (Change(Place.TOPIC, what) for what in apply_topic(settings, dataset))
        yield from _apply_connector(settings, capture, worker, connection)
        _await_running(capture, worker)
        for table in request_missing(connection, capture):
            anew = table in unseen
            yield _read_anew(table) if anew else Change(Place.SNAPSHOT, f"read {table}, while its changes stream")


def remove(settings: Settings, capture: Capture) -> Iterator[Change]:
    """Take connector, slot, publication and the platform's schema away; topics and what was read stay."""
    forgive(settings, capture)
    with source.connected(settings, capture.database) as connection, Worker(settings) as worker:
        worker.remove(capture.connector)
        yield Change(Place.CONNECTOR, f"remove {capture.connector}")
        source.drop(connection, capture)
        yield Change(Place.SOURCE, f"drop slot and publication {capture.slot}")


def forgive(settings: Settings, capture: Capture) -> None:
    """A person looks after the connector now: the supervisor has its whole budget of restarts again."""
    with restarts.connected(settings) as connection:
        restarts.forgive(connection, capture.connector)


def _unseen(connection: psycopg.Connection, capture: Capture, worker: Worker) -> list[str]:
    """Tables that the connector reads already, and that somebody took out of the publication."""
    have = captured_tables(worker.config(capture.connector) or {})
    return source.unpublished(connection, capture, [table for table in capture.tables if table in have])


def _read_anew(table: str) -> Change:
    return Change(Place.SNAPSHOT, f"read {table} anew: changes passed unseen while the publication lacked it")


def _demand_tables(capture: Capture) -> None:
    if not capture.datasets:
        raise ContractError(
            "no contract captures changes",
            remedy=HOW_TO_ASK,
        )


def _connector_changes(settings: Settings, capture: Capture, worker: Worker) -> Iterator[Change]:
    name, have, wanted = capture.connector, worker.config(capture.connector), connector_config(settings, capture)
    state = worker.state(name)
    if have is None:
        yield Change(Place.CONNECTOR, f"create {name} for {', '.join(capture.tables)}")
    elif have != wanted:
        changed = sorted(key for key in {*have, *wanted} if have.get(key) != wanted.get(key))
        yield Change(Place.CONNECTOR, f"{name}: change {', '.join(changed)}")
    elif state is not None and state.failed:
        yield Change(Place.CONNECTOR, f"{name}: start again, since it failed: {state.cause}")
    elif state is not None and state.halted:
        yield Change(Place.CONNECTOR, f"{name}: go on, since it was {state.connector.lower()}")


def _apply_connector(
    settings: Settings, capture: Capture, worker: Worker, connection: psycopg.Connection
) -> Iterator[Change]:
    """Whatever its old task did must be over before a changed connector starts.

    Its state would be taken for the new one's, and the signal for a table that joins be read by a task that does not
    know the table.
    """
    name, have, wanted = capture.connector, worker.config(capture.connector), connector_config(settings, capture)
    changes = list(_connector_changes(settings, capture, worker))
    if have is None:
        mark_read(connection, capture)  # by the snapshot that a new connector begins with
        worker.configure(name, wanted)
    elif changes:
        worker.stop(name)
        worker.configure(name, wanted)
        source.forget(connection, capture, set(captured_tables(have)) - set(capture.tables))
        worker.resume(name)
    yield from changes


def _await_running(capture: Capture, worker: Worker) -> None:
    """Wait until connector and task run."""
    state = worker.await_state(capture.connector, "start", _settled, START_SECONDS)
    if state.failed:
        raise TerminalError(
            f"connector {capture.connector} fails: {state.cause}",
            where=f"database {capture.database}",
            remedy="mend the cause, then `headwater cdc apply` again; the whole story is in `headwater logs connect`. "
            "Where the log has lost changes: `headwater cdc remove --yes`, then `headwater cdc apply` reads all anew",
        )


def _settled(state: State) -> bool:
    return state.running or state.failed
