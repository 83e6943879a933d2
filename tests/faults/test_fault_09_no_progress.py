"""Fault 9: the stream lives but makes no progress. Alert, bounded restarts, then it stays stopped and says why."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from tests.conftest import environment
from tests.streams import StreamCase, await_rows, await_that, own_project, stream_case

from headwater.embedded import processes
from headwater.settings import Settings, get_settings
from headwater.streaming import supervision
from headwater.streaming.health import judge
from headwater.streaming.supervising import Sick, assert_well, supervise

pytestmark = [pytest.mark.integration, pytest.mark.fault, pytest.mark.thorough]  # three starts of Spark

HASTE = {"STALL_SECONDS": "4", "RESTART_BUDGET": "1", "RESTART_PAUSE_SECONDS": "1"}


@pytest.fixture
def case(stack: Settings, tmp_path: Path) -> Iterator[StreamCase]:
    made = stream_case(stack)
    own_project(made, tmp_path)
    with environment(HEADWATER_PROJECT_DIR=str(tmp_path), HEADWATER_HOME=str(stack.home)):
        try:
            yield made
        finally:
            supervision.stop()


@contextmanager
def commits_hang(case: StreamCase) -> Iterator[None]:
    """Whoever commits to the table waits for its row in the catalog; the supervisor has little patience meanwhile."""
    dsn = case.settings.postgres_dsn(case.settings.postgres_catalog_database)
    with psycopg.connect(dsn) as connection:
        sql = "SELECT 1 FROM iceberg_tables WHERE table_namespace = 'bronze' AND table_name = %s FOR UPDATE"
        assert connection.execute(sql, (case.dataset.name,)).fetchone()
        with environment(**{f"HEADWATER_STREAM_{name}": value for name, value in HASTE.items()}):
            yield


def condition() -> str:
    (status,) = supervision.statuses()
    return judge(status.row, get_settings()).condition


def lag() -> int:
    return sum(supervision.statuses()[0].heartbeat["lag"].values())


def test_a_stream_that_hangs_is_restarted_until_its_budget_is_used_up(case: StreamCase):
    case.sales(*range(5))
    supervision.start(wait_seconds=240)
    await_rows(case, 5)
    await_that(lambda: lag() == 0, "it says that it has them")
    with commits_hang(case):
        case.sales(*range(5, 9))
        first = processes.find(case.settings, supervision.PROCESS)
        await_that(lambda: condition() == "stalled", "lag, and no progress")
        with pytest.raises(Sick, match="stalled: no progress for .* with a lag of 4"):
            assert_well(supervision.statuses())

        (look,) = supervise()

        assert (look.found, look.did, look.note) == ("stalled", "restarted", "")
        second = processes.find(case.settings, supervision.PROCESS)
        assert first is not None
        assert second is not None
        assert not processes.alive(first.process)
        await_that(lambda: condition() == "stalled", "it hangs again")
        (look,) = supervise()
        assert look.did == "given up"
        assert not processes.alive(second.process), "it stays stopped"
        assert supervise()[0].did == ""
        with pytest.raises(Sick, match="given up after 1 restarts; the last time: stalled: no progress"):
            assert_well(supervision.statuses())

    supervision.start(wait_seconds=240)
    await_rows(case, 9)
    assert_well(supervision.statuses())
    assert supervision.statuses()[0].row.restarts == 0
    supervision.stop()
    assert case.places() == [(0, offset) for offset in range(9)]
    assert case.ledger(exact=True).unaccounted == 0
