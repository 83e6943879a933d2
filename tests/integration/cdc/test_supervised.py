"""A task that fails for real (the registry is out of reach while a schema is new), and what the supervisor does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from tests.cdc import CapturedDatabase, ChangeReader, captured_database
from tests.conftest import environment, free_port
from tests.forwarding import forwarding
from typer.testing import CliRunner

from headwater.cdc import restarts
from headwater.cdc.commands import app
from headwater.cdc.worker import Worker
from headwater.settings import Settings, get_settings

pytestmark = pytest.mark.integration

PAUSE_SECONDS = 0.2


def cdc(*arguments: str, code: int = 0) -> dict:
    """The one line of JSON that a command prints."""
    answer = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


class Way:
    """The connector's way to the registry."""

    def __init__(self, target: int) -> None:
        self.port, self._target, self._open = free_port(), target, ExitStack()

    def open(self) -> None:
        self._open.enter_context(forwarding(self.port, self._target))

    def cut(self) -> None:
        self._open.close()


@pytest.fixture
def way(connect: Settings) -> Iterator[Way]:
    found = Way(connect.registry_port)
    found.open()
    yield found
    found.cut()


@pytest.fixture
def bank(project, way: Way) -> Iterator[CapturedDatabase]:
    """A captured database whose connector goes to the registry by the way that can be cut."""
    own = {
        "HEADWATER_POSTGRES_SOURCE_DATABASE": "cdc_supervised",
        "HEADWATER_REGISTRY_URL": f"http://127.0.0.1:{way.port}/apis/ccompat/v7",
        "HEADWATER_STREAM_RESTART_PAUSE_SECONDS": str(PAUSE_SECONDS),
        "HEADWATER_STREAM_RESTART_BUDGET": "2",
    }
    with environment(**own), captured_database(get_settings()) as found:
        found.apply()
        yield found


@contextmanager
def registry_by_itself() -> Iterator[None]:
    """The supervisor sees the registry, which the connector does not: so it tries."""
    with environment(HEADWATER_REGISTRY_URL=None):
        yield


def test_a_failed_task_is_started_again_with_pauses_and_a_budget(bank: CapturedDatabase, way: Way):
    reader = ChangeReader(bank.settings, bank.dataset.topic)
    reader.take(3)
    assert cdc("supervise")["found"] == "running"
    assert cdc("status")["restarts"] is None

    way.cut()
    bank.execute("ALTER TABLE bank.accounts ADD COLUMN email text")
    bank.execute("INSERT INTO bank.accounts (account_id, owner_name, email) VALUES (10, 'Ten', 'ten@example.org')")
    with Worker(bank.settings) as worker:
        worker.await_state(bank.capture.connector, "fail", lambda state: state.failed)

    look = cdc("supervise")
    assert (look["found"], look["did"]) == ("failed", "")
    assert "a new start would lack the registry" in look["reason"]

    with registry_by_itself():
        did, deadline = [], time.monotonic() + 120
        while (look := cdc("supervise"))["did"] != "given up":
            did.append(look["did"])
            assert time.monotonic() < deadline, did
        assert did.count("restarted") == 2
        assert look["note"].startswith("given up after 2 restarts; the last time: failed: ")
        told = cdc("status", code=1)["restarts"]
        assert (told["restarts"], told["given_up"].endswith("`headwater cdc apply`")) == (2, True)
        way.open()
        assert cdc("supervise")["did"] == "given up", "it stays as it is until somebody looks after it"
    assert cdc("apply")["changes"][0]["what"].startswith(f"{bank.capture.connector}: start again")
    (found,) = reader.take(1)
    assert found.value["after"]["email"] == "ten@example.org"
    assert cdc("status")["restarts"] is None
    reader.close()


def test_a_task_runs_again_after_its_cause_has_passed_and_its_budget_is_whole_again(bank: CapturedDatabase, way: Way):
    reader = ChangeReader(bank.settings, bank.dataset.topic)
    reader.take(3)
    way.cut()
    bank.execute("ALTER TABLE bank.accounts ADD COLUMN phone text", "UPDATE bank.accounts SET phone = '1'")
    with Worker(bank.settings) as worker:
        worker.await_state(bank.capture.connector, "fail", lambda state: state.failed)
    way.open()
    look = cdc("supervise")
    assert (look["found"], look["did"], look["note"]) == ("failed", "restarted", "it runs")
    assert [one.value["after"]["phone"] for one in reader.take(3)] == ["1"] * 3
    assert counted(bank) == 1
    deadline = time.monotonic() + 30
    with environment(HEADWATER_STREAM_RESTART_FORGIVEN_SECONDS="0.1"):
        while counted(bank):
            assert cdc("supervise")["found"] == "running"
            assert time.monotonic() < deadline
    reader.close()


def counted(bank: CapturedDatabase) -> int:
    """Restarts that count against the budget."""
    with restarts.connected(bank.settings) as connection:
        return restarts.read(connection, bank.capture.connector).restarts


def test_what_passed_unseen_while_somebody_had_dropped_the_publication_is_read_anew(bank: CapturedDatabase):
    """Postgres goes on decoding without it, and the connector goes on running."""
    reader = ChangeReader(bank.settings, bank.dataset.topic)
    reader.take(3)
    assert cdc("status")["lacks"] == []
    bank.execute(f"DROP PUBLICATION {bank.capture.slot}")
    bank.execute("UPDATE bank.accounts SET balance = 7")
    told = cdc("status", code=1)
    assert told["lacks"] == [
        f"bank.accounts, headwater_cdc.debezium_signal, headwater_cdc.heartbeat in the publication {bank.capture.slot}"
    ]
    planned = cdc("apply", "--dry-run")["changes"]
    assert [one["place"] for one in planned] == ["source", "snapshot"]
    assert cdc("apply")["changes"] == planned
    found = reader.until(lambda messages: sum(one.op == "r" for one in messages) == 3)
    assert {one.value["after"]["balance"] for one in found if one.op == "r"} == {"7.00"}
    assert cdc("status")["lacks"] == []
    reader.close()
