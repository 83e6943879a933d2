"""The ledger where topics are created again: which offsets are whose."""

import pytest
from tests.integration.streaming.bronze import Bronze, new_bronze, row, unreadable

from headwater.settings import Settings
from headwater.streaming.accounting import StreamLedger, ledger_of
from headwater.streaming.broker import Topic
from headwater.streaming.ledger import Account

pytestmark = pytest.mark.integration


@pytest.fixture
def bronze(stack: Settings) -> Bronze:
    """Five offsets of topic T1, one of them unreadable."""
    made = new_bronze("T1")
    made.commit(*(row(n, n) for n in range(4)), unreadable(4, b"noise"))
    return made


def ledger(bronze: Bronze, topic_id: str, end: int, *, exact: bool = True) -> StreamLedger:
    return ledger_of(bronze.dataset, Topic("t", topic_id, {0: 0}, {0: end}), exact=exact)


@pytest.mark.parametrize("exact", [True, False])
def test_what_is_read_of_the_topic_that_is_there_is_accounted_for(bronze: Bronze, exact: bool):
    found = ledger(bronze, "T1", 7, exact=exact)
    (line,) = found.partitions
    assert (line.read, line.quarantined, line.unaccounted, line.missing, found.recreated) == (4, 1, 2, 0, False)


@pytest.mark.parametrize("exact", [True, False])
def test_all_of_a_recreated_topic_is_unaccounted_for_until_it_is_accepted(bronze: Bronze, exact: bool):
    found = ledger(bronze, "T2", 3, exact=exact)
    assert [(line.topic_id, line.read, line.unaccounted) for line in found.partitions] == [("T1", 4, 0), ("T2", 0, 3)]
    assert (found.recreated, found.unaccounted) == (True, 3)


@pytest.mark.parametrize("exact", [True, False])
def test_rows_of_the_topic_before_do_not_count_for_the_one_that_is_read(bronze: Bronze, exact: bool):
    bronze.account = Account("T2", {}, {})
    bronze.commit(row(10, 0), row(11, 1))
    bronze.expire_all_but_the_newest()

    found = ledger(bronze, "T2", 2, exact=exact)

    (line,) = found.partitions
    assert (line.topic_id, line.read, line.quarantined, line.unaccounted, line.missing) == ("T2", 2, 0, 0, 0)


def test_rows_without_a_topic_id_count_for_the_topic_that_is_read(bronze: Bronze):
    bronze.commit(row(5, 5, _kafka_topic_id=None))
    assert ledger(bronze, "T1", 6).unaccounted == 0


def test_what_is_yet_to_be_read_is_lag_and_what_the_broker_dropped_is_not(bronze: Bronze):
    assert (found := ledger(bronze, "T1", 7)).lag == 2
    assert found.beyond_lag == 0
    dropped = ledger_of(bronze.dataset, Topic("t", "T1", {0: 6}, {0: 9}))
    (line,) = dropped.partitions
    assert (line.gone, dropped.unaccounted, dropped.lag, dropped.beyond_lag) == (1, 4, 3, 1)


def test_a_log_that_was_cut_off_at_its_end_is_no_lag(bronze: Bronze):
    found = ledger(bronze, "T1", 3)
    assert (found.partitions[0].gone, found.lag, found.beyond_lag) == (0, 0, -2)


def test_a_recreated_topic_is_more_than_lag(bronze: Bronze):
    found = ledger(bronze, "T2", 3)
    assert (found.lag, found.beyond_lag) == (0, 3)
