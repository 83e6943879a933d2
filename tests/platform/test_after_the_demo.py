"""From the source to the answers: after the demo, every layer holds what it must, and running again changes nothing."""

from __future__ import annotations

from collections import Counter

import psutil
import pytest
from tests.truth.expected import KEYS, Truth
from tests.truth.readers import READERS

from headwater.demo.airflow import Airflow
from headwater.demo.report import BROKEN_RECORDS
from headwater.embedded import processes
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings
from headwater.streaming.accounting import stream_ledgers
from headwater.streaming.quarantine import quarantined
from headwater.streaming.supervision import PROCESS, running_streams

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

RUN_SECONDS = 900.0
LAYERS = ("bronze", "silver", "gold")


def snapshots() -> dict[str, int | None]:
    """The current snapshot of every table of the lake."""
    catalog = get_catalog()
    found = {}
    for layer in LAYERS:
        for identifier in catalog.list_tables(layer):
            table = catalog.load_table(identifier)
            current = table.current_snapshot()
            found[".".join(identifier)] = current.snapshot_id if current else None
    return found


def run(airflow: Airflow, dag_id: str) -> str:
    """One run of a DAG to its end; its state."""
    return airflow.wait(dag_id, airflow.trigger(dag_id), seconds=RUN_SECONDS)


@pytest.mark.parametrize("place", READERS)
@pytest.mark.parametrize("name", KEYS)
def test_a_gold_table_equals_what_the_source_files_say(platform: Settings, truth: Truth, name: str, place: str) -> None:
    assert truth.differences(name, READERS[place](name)) == []


def test_every_offset_is_accounted_for(platform: Settings) -> None:
    ledgers = {ledger.dataset: ledger for ledger in stream_ledgers(exact=True)}
    assert set(ledgers) == {"transactions", "coupon_redemptions"}
    assert all(ledger.unaccounted == 0 for ledger in ledgers.values())
    assert sum(line.read for line in ledgers["transactions"].partitions) > 50_000


def test_broken_records_are_in_quarantine_with_their_reason(platform: Settings) -> None:
    reasons = Counter(reason for record in quarantined() for reason in record.reasons)
    assert reasons == BROKEN_RECORDS
    assert {record.stage for record in quarantined()} == {"decode", "rule"}


def test_running_again_changes_no_table(platform: Settings) -> None:
    before = snapshots()
    assert run(Airflow(platform), "loyalty") == "success"
    assert snapshots() == before


def test_a_killed_spark_does_not_fail_batch_work_for_good(platform: Settings) -> None:
    before = snapshots()
    airflow = Airflow(platform)
    run_id = airflow.trigger("loyalty")
    spark = processes.find(platform, "spark")
    assert spark, "Spark Connect runs"
    spark.process.kill()
    assert airflow.wait("loyalty", run_id, seconds=RUN_SECONDS) == "success"
    assert snapshots() == before


def test_the_streams_dag_starts_a_killed_stream_again(platform: Settings) -> None:
    airflow = Airflow(platform)
    stream = processes.find(platform, PROCESS)
    assert stream, "the stream runs"
    killed = [stream.process, *stream.process.children(recursive=True)]
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=30)
    assert run(airflow, "streams") == "success"
    assert set(running_streams()) == {"transactions", "coupon_redemptions"}
    assert sum(ledger.unaccounted for ledger in stream_ledgers(exact=True)) == 0


def test_lineage_events_are_written(platform: Settings) -> None:
    events = [path for path in (platform.home / "lineage").rglob("*") if path.is_file()]
    assert events
    assert any("gold.fct_sales" in path.read_text() for path in events)
