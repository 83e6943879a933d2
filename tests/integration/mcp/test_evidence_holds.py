"""The snapshots named are those of the rows, also where a load comes in between; stale data warn, or are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fastmcp.exceptions import ToolError
from tests.agents import SNAPSHOT

from headwater.contracts.model import Answer, Contracts
from headwater.mcp.sidecar import Sidecar
from headwater.serving.answering import Request
from headwater.warehouse import state
from headwater.warehouse.client import writer

pytestmark = pytest.mark.integration

NEVER_LOADED = "mart_marketing_coupon_response"


@pytest.fixture
def sidecar(agents):
    found = Sidecar(agents.settings)
    yield found
    found.close()


def show(dataset: str, snapshot: int, seen: datetime) -> None:
    with writer() as client:
        state.show(client, [state.Shown(dataset, snapshot, seen - timedelta(hours=1), seen, None, "[]")])


def ask(sidecar: Sidecar, sql: str):
    with sidecar.asked("query") as asking:
        return sidecar.answer(asking, Request(sql))


def loading_after(sidecar: Sidecar, dataset: str, snapshots: list[int]) -> list[str]:
    """Let a load of this dataset end right after each query on it; returns the queries, as they come."""
    real, seen = sidecar.warehouse.ask, []

    def asked(login, sql, parameters=None, settings=None):
        result = real(login, sql, parameters, settings)
        if f"`{dataset}`" in sql:
            seen.append(sql)
            if snapshots:
                show(dataset, snapshots.pop(0), datetime.now(UTC))
        return result

    sidecar.warehouse.ask = asked
    return seen


def test_a_query_that_a_load_overtook_runs_again(sidecar):
    queries = loading_after(sidecar, "dim_date", [SNAPSHOT + 2])
    answer = ask(sidecar, "SELECT count() FROM gold.dim_date")
    assert answer.evidence.tables["gold.dim_date"].snapshot_id == str(SNAPSHOT + 2)
    assert answer.evidence.warnings == ()
    assert len(queries) == 2


def test_of_loads_that_do_not_end_the_answer_warns(sidecar):
    queries = loading_after(sidecar, "dim_date", [SNAPSHOT + 4, SNAPSHOT + 6])
    answer = ask(sidecar, "SELECT count() FROM gold.dim_date")
    assert len(queries) == 2
    assert answer.evidence.warnings == ("the data are being loaded: the rows may be those of the snapshot before",)


def test_stale_data_warn_or_are_refused_by_contract(sidecar):
    show(NEVER_LOADED, SNAPSHOT, datetime.now(UTC) - timedelta(days=40))
    sql = f"SELECT count() FROM gold.{NEVER_LOADED}"
    answer = ask(sidecar, sql)
    assert answer.evidence.tables[f"gold.{NEVER_LOADED}"].stale
    assert "is stale" in answer.evidence.warnings[0]
    datasets = dict(sidecar.contracts.datasets)
    datasets[NEVER_LOADED] = replace(datasets[NEVER_LOADED], when_stale=Answer.REFUSE)
    sidecar.answering.contracts = Contracts(datasets)
    with pytest.raises(ToolError, match="its contract refuses answers from stale data"):
        ask(sidecar, sql)
