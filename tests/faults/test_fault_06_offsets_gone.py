"""Fault 6: offsets the stream needs have expired, or the topic was recreated. Loud; a person may accept the loss."""

from collections import Counter

import pytest
from confluent_kafka import TopicPartition
from pyspark.sql import SparkSession
from tests.streams import stream_case

from headwater.settings import Settings
from headwater.streaming.loss import accept_for
from headwater.streaming.positions import OffsetsGone

pytestmark = pytest.mark.integration


def test_expired_offsets_stop_the_stream_until_the_loss_is_accepted(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    case.sales(*range(5))
    case.read_once(spark)
    case.sales(*range(5, 20))
    place = TopicPartition(case.dataset.topic, 0, 12)
    case.admin.delete_records([place])[place].result()

    with pytest.raises(OffsetsGone, match="partition 0: offsets 5 to 11"):
        case.read_once(spark)
    assert case.places() == [(0, offset) for offset in range(5)]

    assert accept_for(case.dataset, lambda question: "5 to 11" not in question) == "nothing was changed"
    accept_for(case.dataset, lambda question: "5 to 11" in question)
    case.read_once(spark)
    assert case.places() == [(0, offset) for offset in [*range(5), *range(12, 20)]]
    line = case.ledger(exact=True).partitions[0]
    assert (line.read, line.lost, line.unaccounted) == (13, 7, 0)


def test_a_recreated_topic_stops_the_stream_until_the_loss_is_accepted(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    case.sales(*range(5))
    case.read_once(spark)
    case.recreate_topic()
    case.sales(*range(50))

    with pytest.raises(OffsetsGone, match="recreated"):
        case.read_once(spark)

    assert len(case.places()) == 5
    assert case.ledger().recreated
    assert case.ledger().unaccounted == 50

    accept_for(case.dataset, lambda question: "recreated" in question)
    case.read_once(spark)

    assert case.places() == sorted([(0, offset) for offset in [*range(5), *range(50)]])
    found = case.ledger(exact=True)
    assert (found.recreated, found.partitions[0].read, found.unaccounted) == (False, 50, 0)
    by_topic = Counter(row["_kafka_topic_id"] for row in case.bronze("_kafka_topic_id"))
    assert (by_topic[found.topic_id], by_topic.total(), len(by_topic)) == (50, 55, 2)
