"""Evidence is that of the rows: a load that comes between the question and the answer makes it be asked again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from starlette.requests import Request

from headwater.api.reading.answers import Answers, Asked, Standpoint
from headwater.api.reading.cache import InProcess
from headwater.api.reading.standing import State
from headwater.api.routes.answers import JSON, held
from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Answer
from headwater.policy.loader import load_policy
from headwater.serving.evidence import DataRefused, LoadedTable

TABLE = "gold.dim_store"
LIVE = "live.transactions"
CONTRACTS = load_contracts()
MANAGER = load_policy(contracts=CONTRACTS).caller("one", ["store_managers"], {"stores": [1]})
ASKED = Asked("SELECT store_id", {}, (TABLE,), "SELECT store_id", 10)


def state(snapshot: str, applied_at: str = "12:00") -> State:
    loaded = LoadedTable("lake.gold.dim_store", snapshot, "2017-01-01", "2017-01-01", 0, False, None)
    return State(applied_at, {TABLE: loaded, LIVE: loaded}, {TABLE: f"{snapshot}/{snapshot}"})


class Loading:
    """A warehouse that shows the next of its states at every question, each with a row of its own."""

    def __init__(self, *states: State) -> None:
        self.states = [*states]
        self.asked = self.closed = 0

    def ask(self, *_: object) -> Loading:
        self.asked += 1
        if len(self.states) > 1:
            self.states.pop(0)
        return self

    def whole(self) -> bytes:
        return f'["store_id"]\n["Int64"]\n[{self.states[0].tables[TABLE].snapshot_id}]\n'.encode()

    def pieces(self) -> Iterator[bytes]:
        yield self.whole()

    def close(self) -> None:
        self.closed += 1

    def now(self, _: object) -> State:
        return self.states[0]


def setting(*states: State) -> tuple[Loading, Answers, Standpoint]:
    clickhouse = Loading(*states)
    asking = SimpleNamespace(
        caller=MANAGER, policy_version="v1", headers={}, applied=lambda _: None, reads=lambda *_: None
    )
    return (
        clickhouse,
        Answers(clickhouse, InProcess(10_000, 60), clickhouse.now),
        Standpoint(asking, states[0], CONTRACTS),
    )


def test_what_did_not_move_is_asked_once_and_kept():
    clickhouse, answers, at = setting(state("1"))
    first, then = answers.page(at, ASKED)
    assert (first.kept, then.moved, clickhouse.asked) == (False, False, 1)
    assert answers.page(at, ASKED)[0].kept
    assert clickhouse.asked == 1


@pytest.mark.parametrize("later", [state("2"), state("1", applied_at="12:01")])
def test_a_load_or_a_policy_that_comes_between_makes_it_be_asked_again(later):
    clickhouse, answers, at = setting(state("1"), later)
    page, then = answers.page(at, ASKED)
    assert clickhouse.asked == 2
    snapshot = later.tables[TABLE].snapshot_id
    assert page.rows == f"[[{snapshot}]]".encode()
    assert then.evidence(ASKED)["tables"][TABLE]["snapshot_id"] == snapshot
    assert "the data are being loaded" not in str(then.evidence(ASKED)["warnings"])
    assert then.etag(ASKED, "") not in (None, at.etag(ASKED, ""))
    assert not answers.page(at, ASKED)[0].kept, "what was there before has no answer of what came"
    assert answers.page(then, ASKED)[0].kept


def test_a_table_without_a_mark_is_judged_by_its_snapshot():
    clickhouse, answers, at = setting(state("1"), state("2"))
    answers.page(at, replace(ASKED, tables=(LIVE,)))
    assert clickhouse.asked == 2


def test_data_that_a_contract_refuses_are_not_said_to_be_the_same():
    _, _, at = setting(state("1"))
    request = Request({"type": "http", "headers": [(b"if-none-match", at.etag(ASKED, JSON).encode())]})
    at.asking.answered = lambda **_: 1
    assert held(request, at, ASKED, JSON).status_code == 304
    stale = replace(at.state.tables[TABLE], stale=True)
    dataset = replace(CONTRACTS.get("dim_store"), when_stale=Answer.REFUSE)
    contracts = replace(CONTRACTS, datasets={**CONTRACTS.datasets, "dim_store": dataset})
    old = replace(at, contracts=contracts, state=replace(at.state, tables={TABLE: stale}))
    assert old.etag(ASKED, JSON) == at.etag(ASKED, JSON)
    with pytest.raises(DataRefused):
        held(request, old, ASKED, JSON)


def test_what_keeps_moving_says_so_and_is_not_kept():
    clickhouse, answers, at = setting(state("1"), state("2"), state("3"))
    _, then = answers.page(at, ASKED)
    assert clickhouse.asked == 2
    assert "the data are being loaded" in str(then.evidence(ASKED)["warnings"])
    assert then.etag(ASKED, "") is None
    assert not answers.page(replace(then, moved=False), ASKED)[0].kept


def test_a_stream_is_asked_again_before_its_first_piece():
    clickhouse, answers, at = setting(state("1"), state("2"))
    answer, then = answers.stream(at, ASKED, "CSV")
    assert (clickhouse.asked, clickhouse.closed) == (2, 1)
    assert next(answer.pieces()).endswith(b"[2]\n")
    assert then.evidence(ASKED)["tables"][TABLE]["snapshot_id"] == "2"
