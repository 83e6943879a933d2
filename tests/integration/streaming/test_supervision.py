"""`headwater stream start | status | stop` on a process of its own."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.conftest import environment
from tests.datasets.cases import Lake
from tests.streams import StreamCase, await_rows, committed_rows, own_project, stream_case

from headwater.contracts.iceberg import ensure_tables
from headwater.embedded import processes
from headwater.errors import TerminalError
from headwater.lake.silver import build
from headwater.settings import Settings
from headwater.streaming import supervision
from headwater.streaming.lease import Lease
from headwater.streaming.lease_rows import connected
from headwater.streaming.loss import accept_for
from headwater.streaming.supervising import Sick, assert_well, supervise, try_again
from headwater.warehouse.client import writer

pytestmark = pytest.mark.integration


@pytest.fixture
def case(stack: Settings, tmp_path: Path) -> Iterator[StreamCase]:
    made = stream_case(stack)
    own_project(made, tmp_path)
    with environment(HEADWATER_PROJECT_DIR=str(tmp_path), HEADWATER_HOME=str(stack.home)):
        yield made
        supervision.stop()


@pytest.mark.thorough
def test_a_stream_that_was_killed_is_started_again_and_silver_is_built_meanwhile(case: StreamCase, lake: Lake):
    case.sales(*range(5))
    assert supervision.start(wait_seconds=240) is True
    assert supervision.running_streams() == [case.dataset.name]
    assert supervision.start(wait_seconds=240) is False  # it runs already
    await_rows(case, 5)

    running = processes.find(case.settings, supervision.PROCESS)
    assert running is not None
    jvms = running.process.children(recursive=True)
    os.kill(running.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs([running.process, *jvms], 60)
    assert not alive, "the JVM outlives Python"
    assert supervision.statuses()[0].state == "dead"

    case.sales(*range(5, 9))
    ensure_tables(lake.catalog, case.dataset)
    assert build(lake.spark, lake.catalog, case.dataset)["rows"] == 5, "what bronze has is worked off"
    assert build(lake.spark, lake.catalog, case.dataset)["rows"] == 0
    assert supervision.start(wait_seconds=240) is True
    await_rows(case, 9)
    assert supervision.running_streams() == [case.dataset.name]
    assert supervision.stop() is True
    assert supervision.statuses()[0].state == "stopped"
    assert case.places() == [(0, offset) for offset in range(9)]
    assert case.ledger(exact=True).unaccounted == 0
    assert build(lake.spark, lake.catalog, case.dataset)["rows"] == 4
    in_silver = lake.rows(f"silver.{case.dataset.name}", "basket_id")
    assert sorted(row["basket_id"] for row in in_silver) == list(range(9))


@pytest.mark.thorough
def test_a_stream_that_is_new_joins_those_that_are_read(case: StreamCase, tmp_path: Path):
    assert supervision.start(wait_seconds=240) is True
    first = processes.find(case.settings, supervision.PROCESS)
    case.sales(*range(3))
    await_rows(case, 3)
    new = stream_case(case.settings)
    own_project(new, tmp_path)

    looks = {look.dataset: look for look in supervise(wait_seconds=240)}

    assert (looks[new.dataset.name].did, looks[case.dataset.name].did) == ("started", "")
    second = processes.find(case.settings, supervision.PROCESS)
    assert first is not None
    assert second is not None
    assert second.pid != first.pid
    assert not processes.alive(first.process), "ended by the one that took over"
    case.sales(3)
    new.sales(1, 2)
    await_rows(case, 4)
    await_rows(new, 2)
    assert supervision.start([new.dataset.name]) is False, "it is read already"
    assert supervision.start([case.dataset.name]) is False
    assert sorted(supervision.running_streams()) == sorted([case.dataset.name, new.dataset.name])
    assert case.ledger(exact=True).unaccounted == new.ledger(exact=True).unaccounted == 0


@pytest.mark.thorough
def test_a_stream_that_has_failed_stays_stopped_until_somebody_starts_it(case: StreamCase, tmp_path: Path):
    sound, other = stream_case(case.settings), stream_case(case.settings)
    for one in (sound, other):
        own_project(one, tmp_path)
    assert supervision.start(wait_seconds=240) is True
    for broken in (case, other):
        broken.sales(*range(5))
        await_rows(broken, 5)
    supervision.stop()
    for broken in (case, other):
        broken.recreate_topic()
    case.sales(*range(2))

    with pytest.raises(TerminalError, match="recreated"):
        supervision.start(wait_seconds=240)
    assert supervision.running_streams() == [sound.dataset.name]
    looks = {look.dataset: look for look in supervise()}  # as the DAG does, every minute
    assert {(looks[one.dataset.name].found, looks[one.dataset.name].did) for one in (case, other)} == {("failed", "")}
    with pytest.raises(Sick, match="recreated"):
        assert_well(supervision.statuses([case.dataset.name]))
    assert_well(supervision.statuses([sound.dataset.name]))
    failed_at, others = started_at(case), started_at(other)
    sound.sales(1)
    await_rows(sound, 1)
    assert started_at(case) == failed_at, "nobody tried it again"

    chosen = [case.dataset.name, sound.dataset.name]
    with pytest.raises(TerminalError, match="recreated"):
        try_again(chosen)  # as when a person clears their tasks
    assert started_at(case) != failed_at
    accept_for(case.dataset, lambda question: True)
    assert try_again(chosen) == [case.dataset.name]
    assert try_again(chosen) == [], "they are well"
    await_rows(case, 7)
    assert supervision.running_streams() == sorted([case.dataset.name, sound.dataset.name])
    assert started_at(other) == others, "nobody named it"


def test_drained_streams_are_in_the_live_table_and_stay_stopped(case: StreamCase, tmp_path: Path):
    other = stream_case(case.settings)
    own_project(other, tmp_path)
    supervision.start(wait_seconds=240)
    application = processes.find(case.settings, supervision.PROCESS)
    assert application is not None
    case.sales(*range(40))

    assert supervision.drain([case.dataset.name], wait_seconds=180) is True

    (status,) = supervision.statuses([case.dataset.name])
    assert (status.state, status.row.wanted, status.alive) == ("stopped", "drained", False)
    assert supervision.running_streams() == [other.dataset.name], "the other goes on"
    read = committed_rows(case)
    assert status.heartbeat["offsets"] == {"0": read, "1": 0}
    assert live_rows(case) == read
    case.sales(*range(40, 50))
    assert [look.did for look in supervise()] == ["", ""], "what people have stopped is left alone"

    processes.pid_file(case.settings, supervision.PROCESS).unlink()  # its submitter died before it wrote it
    assert supervision.start(wait_seconds=240) is False, "adopted by its lease, and both are read again"
    adopted = processes.find(case.settings, supervision.PROCESS)
    assert adopted is not None
    assert adopted.pid == application.pid
    await_rows(case, 50)
    case.sales(*range(50, 60))  # on its way while the application is replaced
    supervision.restart(wait_seconds=240)
    await_rows(case, 60)
    restarted = processes.find(case.settings, supervision.PROCESS)
    assert restarted is not None
    assert restarted.pid != application.pid
    assert supervision.running_streams() == sorted([case.dataset.name, other.dataset.name])
    assert supervision.stop() is True
    assert case.places() == [(0, offset) for offset in range(60)]
    assert case.ledger(exact=True).unaccounted == 0


def test_a_holder_that_renews_when_postgres_is_back_is_not_ended(case: StreamCase):
    """All leases have expired when Postgres was away for longer than one lasts."""
    lease = Lease(case.settings, case.dataset.name)
    lease.acquire()
    with connected(case.settings) as connection:
        connection.execute(
            "UPDATE stream_leases SET expires_at = now() - interval '1 minute' WHERE dataset = %s", (case.dataset.name,)
        )

    (look,) = supervise()

    assert (look.found, look.did) == ("starting", "")
    lease.beat("stopped", "", {}, held=False)


def live_rows(case: StreamCase) -> int:
    with writer() as client:
        return int(client.command(f"SELECT count() FROM live.{case.dataset.name} FINAL"))


def started_at(case: StreamCase) -> str:
    return str(supervision.statuses([case.dataset.name])[0].heartbeat["started_at"])


@pytest.mark.thorough
def test_a_stream_without_a_topic_waits_for_it(stack: Settings, tmp_path: Path):
    case = stream_case(stack)
    case.admin.delete_topics([case.dataset.topic])[case.dataset.topic].result()
    own_project(case, tmp_path)
    with environment(HEADWATER_PROJECT_DIR=str(tmp_path), HEADWATER_HOME=str(stack.home)):
        try:
            assert supervision.start(wait_seconds=240) is True
            assert supervision.statuses()[0].state == "retrying"
            assert "no such topic" in supervision.statuses()[0].heartbeat["reason"]
            case.create_topic()
            case.sales(1)
            await_rows(case, 1, seconds=120)
        finally:
            supervision.stop()
