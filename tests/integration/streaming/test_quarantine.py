"""What is in quarantine, of both places, and what listing it costs."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from tests.integration.streaming.bronze import Bronze, new_bronze, row, unreadable

from headwater.settings import Settings
from headwater.streaming.ledger import Account
from headwater.streaming.quarantine import Selection, quarantine_of

pytestmark = pytest.mark.integration

MIB = 1024 * 1024
MORNING = datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.fixture
def bronze(stack: Settings) -> Bronze:
    return new_bronze()


def test_lists_both_kinds_newest_first_with_the_size_of_the_bytes(bronze: Bronze):
    bronze.commit(row(1, 0), unreadable(1, b"noise", _ingested_at=MORNING))
    bronze.refuse(row(2, 2, quantity=-1, _rule=["quantity_minimum"], _ingested_at=MORNING + timedelta(hours=1)))

    found = quarantine_of(bronze.dataset)

    assert [(r.offset, r.stage, r.reasons, r.size) for r in found] == [
        (2, "rule", ("quantity_minimum",), None),
        (1, "decode", ("bad_magic_byte",), 5),
    ]


def test_the_highest_attempt_counts(bronze: Bronze):
    bronze.commit(unreadable(0, b"a"), unreadable(1, b"b"))
    bronze.commit(row(1, 0, _attempt=1), unreadable(1, b"longer", _attempt=1))

    assert [(r.offset, r.attempt, r.size) for r in quarantine_of(bronze.dataset)] == [(1, 1, 6)]


def test_a_recreated_topics_record_at_the_same_offset_is_another_one(bronze: Bronze):
    bronze.commit(unreadable(0, b"old"))
    bronze.account = Account("T2", {}, {})
    bronze.commit(unreadable(0, b"newer"))

    assert [(r.topic_id, r.offset, r.size) for r in quarantine_of(bronze.dataset)] == [("T2", 0, 5), ("T1", 0, 3)]


def test_picks_by_reason_before_it_cuts_off(bronze: Bronze):
    bronze.commit(unreadable(0, b"a", _error="too_short"), *(unreadable(n, b"b") for n in range(1, 5)))

    assert [r.offset for r in quarantine_of(bronze.dataset, Selection(reason="too_short", limit=1))] == [0]


def test_a_list_of_a_few_reads_the_bytes_of_a_few(bronze: Bronze):
    """Thirty records of 2 MiB in files of their own; three are shown."""
    for offset in range(30):
        bronze.commit(unreadable(offset, bytes([offset]) * 2 * MIB))
    parent = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(parent)
    pa.set_memory_pool(pool)
    try:
        found = quarantine_of(bronze.dataset, Selection(limit=3))
    finally:
        pa.set_memory_pool(parent)

    assert [(r.offset, r.size) for r in found] == [(29, 2 * MIB), (28, 2 * MIB), (27, 2 * MIB)]
    assert 6 * MIB <= pool.max_memory() < 30 * MIB
