"""The producer where no broker answers: nothing is told to be there, and nothing more is taken."""

import time

import pytest
from tests.conftest import free_port_base

from headwater.api.producing import AcknowledgedProducer, Busy, NotAcknowledged
from headwater.settings import Settings


def nowhere(**changes) -> Settings:
    address = f"127.0.0.1:{free_port_base()}"
    return Settings(kafka_bootstrap_servers=address, kafka_security_protocol="PLAINTEXT", **changes)


@pytest.fixture
def producer():
    made = []

    def make(**changes) -> AcknowledgedProducer:
        made.append(AcknowledgedProducer(nowhere(**changes)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_what_is_not_acknowledged_in_time_fails_and_leaves_nothing_behind(producer):
    one = producer(api_ack_seconds=0.5)
    delivery = one.send("t", [b"1", None], [b"a", b"b"])
    with pytest.raises(NotAcknowledged) as failed:
        delivery.result(30)
    assert failed.value.acknowledged == {}
    assert one.stalled_seconds == 0


def test_a_full_queue_takes_nothing_more(producer):
    one = producer(api_ack_seconds=2, api_slow_seconds=60, api_queue_events=3)
    first = one.send("t", [None] * 2, [b"a"] * 2)
    with pytest.raises(Busy, match="too many"):
        one.send("t", [None] * 2, [b"a"] * 2)
    second = one.send("t", [None], [b"a"])
    for delivery in (first, second):
        with pytest.raises(NotAcknowledged):
            delivery.result(30)


def test_a_slow_broker_gets_nothing_more(producer):
    one = producer(api_ack_seconds=3, api_slow_seconds=0.1)
    first = one.send("t", [None], [b"a"])
    while one.stalled_seconds <= 0.1 and not first.done():
        time.sleep(0.01)
    with pytest.raises(Busy, match="slow"):
        one.send("t", [None], [b"a"])
    assert not first.cancel()
    with pytest.raises(NotAcknowledged):
        first.result(30)
