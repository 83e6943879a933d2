"""Bronze's rows against its account and against a real topic: what is missing, double, empty, or beyond proof."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from tests.conftest import environment
from tests.integration.streaming.bronze import Bronze, new_bronze, row
from tests.streams import StreamCase, own_project, sale, stream_case
from typer.testing import CliRunner

from headwater.settings import Settings
from headwater.streaming.broker import Broker
from headwater.streaming.commands import app
from headwater.streaming.gaps import commit_account
from headwater.streaming.ledger import Account
from headwater.streaming.positions import accepted
from headwater.streaming.verification import PartitionCheck, verify

pytestmark = pytest.mark.integration


@pytest.fixture
def case(stack: Settings) -> StreamCase:
    """Ten records in partition 0, offsets 0 to 9."""
    made = stream_case(stack)
    made.sales(*range(10))
    return made


@pytest.fixture
def bronze(case: StreamCase) -> Bronze:
    """Empty bronze of that topic."""
    return new_bronze(Broker(case.settings).topic_id(case.dataset.topic), case.dataset)


def check(case: StreamCase, bronze: Bronze) -> PartitionCheck:
    broker = Broker(case.settings)
    found = verify(bronze.dataset, broker.topic(case.dataset.topic), broker)
    assert found is not None
    assert found.agrees == found.partitions[0].agrees
    return found.partitions[0]


def test_all_rows_agree(case: StreamCase, bronze: Bronze):
    bronze.commit(*(row(n, n) for n in range(6)))
    bronze.commit(*(row(n, n) for n in range(6, 10)), row(3, 3, _attempt=1))

    found = check(case, bronze)

    assert found.agrees
    assert (found.begin, found.next, found.rows) == (0, 10, 10)


def test_gaps_and_overlaps_are_named(case: StreamCase, bronze: Bronze):
    bronze.commit(*(row(n, n) for n in (0, 1, 4, 5, 8)), ends={0: 9})
    bronze.commit(row(5, 5), row(9, 9), ends={0: 10})
    bronze.expire_all_but_the_newest()

    found = check(case, bronze)

    assert (found.missing, found.overlaps) == (((2, 4), (6, 8)), ((5, 6),))
    assert (found.outside, found.expired, found.empty, found.unexplained) == ((), (), 0, 0)
    assert not found.agrees


def test_rows_that_no_account_covers_are_named(case: StreamCase, bronze: Bronze):
    bronze.commit(*(row(n, n) for n in range(10)), ends={0: 8})

    assert check(case, bronze).outside == ((8, 10),)


def test_markers_and_aborted_records_are_no_gaps(case: StreamCase, bronze: Bronze):
    case.produce(case.framed(sale(10)), transactional=True)  # offset 10, marker 11
    case.produce(case.framed(sale(11)), transactional=False)  # offset 12, marker 13
    bronze.account = replace(bronze.account, empty={0: 3})
    bronze.commit(*(row(n, n) for n in range(11)), ends={0: 14})

    found = check(case, bronze)

    assert found.agrees
    assert (found.rows, found.empty) == (11, 3)


def test_what_expired_is_held_against_the_number_that_was_accepted_as_lost(case: StreamCase, bronze: Bronze):
    bronze.commit(*(row(n, n) for n in range(4)))
    place = TopicPartition(case.dataset.topic, 0, 7)
    case.admin.delete_records([place])[place].result()
    topic = Broker(case.settings).topic(case.dataset.topic)
    bronze.account = accepted(bronze.account, topic)
    commit_account(bronze.table, bronze.account)
    bronze.commit(*(row(n, n) for n in range(7, 10)))

    found = check(case, bronze)
    assert (found.agrees, found.expired, found.unexplained) == (True, ((4, 7),), 0)

    bronze.account = replace(bronze.account, lost={0: 1}, counts={})
    commit_account(bronze.table, bronze.account)
    assert (check(case, bronze).agrees, check(case, bronze).unexplained) == (False, 2)


def test_nothing_is_verified_where_nothing_was_read(case: StreamCase, bronze: Bronze):
    broker = Broker(case.settings)
    assert verify(bronze.dataset, broker.topic(case.dataset.topic), broker) is None


def test_rows_of_the_topic_before_are_left_out(case: StreamCase, bronze: Bronze):
    now = bronze.account.topic_id
    bronze.account = Account("older", {}, {})
    bronze.commit(*(row(n, n) for n in range(5)))
    bronze.account = Account(now, {}, {})
    bronze.commit(*(row(n, n) for n in range(10)))

    assert check(case, bronze).agrees


def test_the_command_names_what_does_not_agree(case: StreamCase, bronze: Bronze, tmp_path: Path):
    bronze.commit(*(row(n, n) for n in range(10) if n != 4))
    own_project(case, tmp_path)
    with environment(HEADWATER_PROJECT_DIR=str(tmp_path)):
        told = CliRunner().invoke(app, ["ledger", "--verify"])
        data = json.loads(CliRunner().invoke(app, ["ledger", "--verify", "--json"]).stdout)

    assert told.exit_code == 1
    assert "partition 0, offsets 4 to 4: records of the topic that bronze does not have" in told.stdout
    assert data["verified"][0]["partitions"][0]["missing"] == [[4, 5]]
    assert data["reach"][0]["partitions"][0] | {"bronze": 10, "silver": None} == data["reach"][0]["partitions"][0]
