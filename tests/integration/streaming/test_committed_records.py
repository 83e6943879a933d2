"""Looking for records between transaction markers, on a real broker."""

import pytest
from confluent_kafka import Consumer, Producer
from tests.streams import StreamCase, stream_case

from headwater.kafka import client_config
from headwater.settings import Settings
from headwater.streaming import records
from headwater.streaming.records import CommittedRecords

pytestmark = pytest.mark.integration

TRANSACTIONS = 40


@pytest.fixture(scope="module")
def case(stack: Settings) -> StreamCase:
    """Partition 0: forty transactions of one record and its marker, every fourth aborted; partition 1: five records."""
    made = stream_case(stack)
    producer = Producer(client_config(stack, transactional_id=made.dataset.name))
    producer.init_transactions(120)
    for number in range(TRANSACTIONS):
        producer.begin_transaction()
        producer.produce(made.dataset.topic, key=b"7", value=b"x", partition=0)
        assert producer.flush(30) == 0  # what is only queued would be aborted without a trace in the log
        (producer.abort_transaction if number % 4 == 3 else producer.commit_transaction)(30)
    made.produce(*[b"y"] * 5, partition=1)
    return made


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Consumer]:
    """The consumers that were opened."""
    found: list[Consumer] = []

    def counted(config: dict[str, object]) -> Consumer:
        found.append(Consumer(config))
        return found[-1]

    monkeypatch.setattr(records, "Consumer", counted)
    return found


EXPECTED = {start: next((o for o in range(start, 80) if o % 2 == 0 and o % 8 != 6), None) for start in range(80)}
"""The first committed record from each offset on: records lie on even offsets, 6, 14, 22 … were aborted."""


def test_one_consumer_finds_the_record_after_every_hole(case: StreamCase, opened: list[Consumer]):
    with CommittedRecords(case.settings, case.dataset.topic) as found:
        assert {start: found.first_at_or_after(0, start) for start in EXPECTED} == EXPECTED
        assert [found.first_at_or_after(1, start) for start in (0, 4, 5)] == [0, 4, None]
    assert len(opened) == 1


def test_what_is_far_is_jumped_over(case: StreamCase, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "FAR", 3)
    asked = [0, 1, 30, 33, 62, 77, 78]
    with CommittedRecords(case.settings, case.dataset.topic) as found:
        assert {start: found.first_at_or_after(0, start) for start in asked} == {s: EXPECTED[s] for s in asked}
