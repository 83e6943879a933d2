"""What is said of stale and of failing data, and where the contract wants no answer from them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Answer, Contracts
from headwater.serving.evidence import DataRefused, LoadedTable, Quality, same_snapshots, warnings_of

FRESH = LoadedTable("lake.gold.fct_sales", "1", "2017-01-01T00:00:00+00:00", "2017-01-02T00:00:00+00:00", 5, False,
                    Quality("2017-01-02T00:00:00+00:00", True, (), 3))  # fmt: skip
STALE = replace(FRESH, stale=True, age_seconds=7200)
FAILING = replace(FRESH, quality=Quality("2017-01-02T00:00:00+00:00", False, ("has_sales",), 3))
TABLE = "gold.fct_sales"


def contracts(**answers: Answer) -> Contracts:
    found = load_contracts()
    return Contracts({**found.datasets, "fct_sales": replace(found.get("fct_sales"), **answers)})


def test_fresh_and_sound_data_need_no_word():
    assert warnings_of(contracts(), {TABLE: FRESH}) == ()


@pytest.mark.parametrize(("table", "says"), [(STALE, "is stale"), (FAILING, "broke has_sales"), (None, "no load is")])
def test_what_is_wrong_is_said(table, says):
    [warning] = warnings_of(contracts(), {TABLE: table})
    assert says in warning


@pytest.mark.parametrize(("table", "answers"), [
    (STALE, {"when_stale": Answer.REFUSE}), (FAILING, {"when_failing": Answer.REFUSE}),
])  # fmt: skip
def test_a_contract_may_want_no_answer(table, answers):
    with pytest.raises(DataRefused, match="its contract refuses answers"):
        warnings_of(contracts(**answers), {TABLE: table})
    assert warnings_of(contracts(**answers), {TABLE: FRESH}) == ()


def test_a_load_in_between_is_noticed():
    other = replace(FRESH, snapshot_id="2")
    assert same_snapshots([TABLE], {TABLE: FRESH}, {TABLE: STALE})
    assert not same_snapshots([TABLE], {TABLE: FRESH}, {TABLE: other})
    assert not same_snapshots([TABLE], {}, {TABLE: FRESH})
