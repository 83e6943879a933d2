"""Fault 7: two copies of one stream. The second is refused; one that was stopped beyond its lease is fenced out."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from pyspark.sql import SparkSession
from tests.streams import StreamCase, await_that, committed_rows, kill_group, launch, stream_case

from headwater.lake.catalog import catalog_as, get_catalog
from headwater.lake.sessions import session_as
from headwater.settings import Settings
from headwater.streaming.lease import AlreadyRunning, FencedOut, Lease
from headwater.streaming.lease_rows import LeaseRow, connected, read_rows
from headwater.streaming.live_tables import LivePosition, PositionTaken, ensure_tables, live_uuid, write_position
from headwater.warehouse.client import writer

pytestmark = [pytest.mark.integration, pytest.mark.fault]

LEASE_SECONDS = 6.0


def test_a_writer_stopped_in_its_commit_beyond_its_lease_writes_nothing_when_it_resumes(
    stack: Settings, spark: SparkSession, tmp_path: Path
):
    case = stream_case(stack)
    case.sales(*range(20))
    stop_itself = {"STREAM_CRASH_AT": "during-bronze-commit", "STREAM_CRASH_SIGNAL": "SIGSTOP"}
    first = launch(case, tmp_path, STREAM_LEASE_SECONDS=str(LEASE_SECONDS), **stop_itself)
    try:
        impatient = stack.model_copy(update={"stream_handover_seconds": 0.2})
        await_that(lambda: first.poll() is not None or row_of(case).alive, "it has its lease, and renews it", 150)
        with pytest.raises(AlreadyRunning, match=f"process {first.pid} "):
            Lease(impatient, case.dataset.name).acquire()
        await_that(lambda: is_stopped(first), "all files of the batch are written, its commit is under way", 150)
        await_that(lambda: not row_of(case).alive, "its lease has expired", 30)

        second = Lease(impatient, case.dataset.name)
        second.acquire()  # and writes nothing: the metadata the first one built on are still the newest
        os.killpg(first.pid, signal.SIGCONT)

        assert first.wait(60) == 65, "it ends itself"
        assert "fenced out" in (tmp_path / "stream.log").read_text()
        assert committed_rows(case) == 0, "what it had under way was refused"
        assert row_of(case).token == second.token, "and it told nothing in the other's name"
        second.beat("stopped", "", {}, held=False)
    finally:
        kill_group(first)

    case.sales(*range(20, 25))
    case.read_once(spark)
    assert case.places() == [(0, offset) for offset in range(25)]
    assert case.ledger(exact=True).unaccounted == 0


def test_the_catalog_refuses_a_former_writer_and_nobody_else(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    case.sales(1)
    case.read_once(spark)
    name = f"bronze.{case.dataset.name}"
    first = Lease(stack, case.dataset.name)
    first.acquire()
    session, catalog = session_as(spark, first.connection_name), catalog_as(first.connection_name)
    session.table(f"lake.{name}").writeTo(f"lake.{name}").append()
    assert committed_rows(case) == 2, "its token is valid"
    with Taken(stack, case) as second:
        anew = session_as(spark, first.connection_name)  # its connections were ended; it connects once more
        with pytest.raises(Exception, match="fenced out: writer"):
            anew.table(f"lake.{name}").writeTo(f"lake.{name}").append()
        with pytest.raises(Exception, match="fenced out: writer"):
            catalog.load_table(name).update_schema().update_column("week", doc="late").commit()
        with pytest.raises(FencedOut, match=f"token {first.token}, .* with token {second.token}"):
            first.check()
        assert committed_rows(case) == 2
        assert "doc" not in str(get_catalog().load_table(name).schema().find_field("week"))
        spark.table(f"lake.{name}").limit(1).writeTo(f"lake.{name}").append()  # no stream's writer: a replay, say
        assert committed_rows(case) == 3
    first.leave()


def test_the_same_process_fences_what_its_former_query_left_under_way(stack: Settings, spark: SparkSession):
    """A query that failed may have a commit on its way still: it must not land after the next one has looked."""
    case = stream_case(stack)
    case.sales(1)
    case.read_once(spark)
    name = f"lake.bronze.{case.dataset.name}"
    lease = Lease(stack, case.dataset.name)
    lease.acquire()
    before, former = lease.token, session_as(spark, lease.connection_name)

    lease.acquire()  # as each start of a query does

    assert lease.token > before
    assert (row_of(case).token, row_of(case).alive) == (lease.token, True)
    with pytest.raises(Exception, match=f"fenced out: writer {before} of .* was followed by writer {lease.token}"):
        former.table(name).writeTo(name).append()
    assert committed_rows(case) == 1
    session_as(spark, lease.connection_name).table(name).writeTo(name).append()
    assert committed_rows(case) == 2, "its own goes on"
    renewed = row_of(case).expires_at
    await_that(lambda: row_of(case).expires_at != renewed, "it is renewed under the new token", 30)
    lease.beat("stopped", "", {}, held=False)
    assert (row_of(case).held, row_of(case).state) == (False, "stopped")


def test_a_change_of_token_whose_answer_is_lost_is_no_other_holder(stack: Settings):
    case = stream_case(stack)
    lease = Lease(stack, case.dataset.name)
    lease.acquire()
    with connected(stack) as connection:  # as if Postgres had carried it out, and died before it said so
        (drawn,) = connection.execute("SELECT nextval('stream_tokens')").fetchone() or (0,)
        connection.execute("UPDATE stream_leases SET token = %s WHERE dataset = %s", (drawn, case.dataset.name))
    with pytest.raises(FencedOut):
        lease.check()
    lease._drawn.append(drawn)
    lease.check()

    lease.acquire()

    assert lease.token > drawn
    assert row_of(case).token == lease.token
    lease.beat("stopped", "", {}, held=False)


def test_a_late_live_position_is_refused(stack: Settings):
    case = stream_case(stack)
    with writer() as client:
        ensure_tables(client, case.dataset)
        table = live_uuid(client, case.dataset.name)
        write_position(client, case.dataset.name, LivePosition(1, "t", {0: 1}), table, 7)
        write_position(client, case.dataset.name, LivePosition(2, "t", {0: 2}), table, 8)
        with pytest.raises(PositionTaken, match="writer 7 was followed by writer 8"):
            write_position(client, case.dataset.name, LivePosition(1, "t", {0: 1}), table, 7)
        asked = f"SELECT snapshot_id FROM platform.live_positions FINAL WHERE dataset = '{case.dataset.name}'"
        assert client.query(asked).result_rows == [(2,)]


class Taken:
    """Another holder of the stream's lease, for a block: the former one is taken for dead."""

    def __init__(self, settings: Settings, case: StreamCase) -> None:
        self._lease = Lease(settings.model_copy(update={"stream_handover_seconds": 30}), case.dataset.name)
        self._name, self._settings = case.dataset.name, settings

    def __enter__(self) -> Lease:
        with connected(self._settings) as connection:  # as if the holder's clock had stood still
            connection.execute("UPDATE stream_leases SET process_started = 1 WHERE dataset = %s", (self._name,))
        self._lease.acquire()
        return self._lease

    def __exit__(self, *_: object) -> None:
        self._lease.beat("stopped", "", {}, held=False)


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "it ended"
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


def row_of(case: StreamCase) -> LeaseRow:
    return read_rows(case.settings, [case.dataset.name])[case.dataset.name]
