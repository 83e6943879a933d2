"""Where a stream begins, and what stops it from beginning."""

import pytest

from headwater.streaming.broker import Topic
from headwater.streaming.ledger import Account
from headwater.streaming.positions import OffsetsGone, accepted, gone_offsets, starting_account


def topic(low: dict[int, int], high: dict[int, int], topic_id: str = "id-1") -> Topic:
    return Topic("events", topic_id, low, high)


RECORDED = Account("id-1", begin={0: 0, 1: 0}, offsets={0: 50, 1: 60}, counts={0: 1})


def test_goes_on_where_the_table_says():
    account = starting_account("sales", RECORDED, topic({0: 0, 1: 0}, {0: 80, 1: 60}))
    assert account.offsets == {0: 50, 1: 60}


def test_a_topic_never_read_begins_at_its_first_offset_still_there():
    account = starting_account("sales", None, topic({0: 7, 1: 0}, {0: 80, 1: 60}))
    assert account.offsets == account.begin == {0: 7, 1: 0}


def test_a_new_partition_begins_at_zero():
    account = starting_account("sales", RECORDED, topic({0: 0, 1: 0, 2: 0}, {0: 80, 1: 60, 2: 5}))
    assert account.offsets[2] == account.begin[2] == 0


def test_expired_offsets_are_named():
    with pytest.raises(OffsetsGone, match=r"partition 1: offsets 60 to 69") as error:
        starting_account("sales", RECORDED, topic({0: 50, 1: 70}, {0: 80, 1: 90}))
    assert "accept-loss sales" in error.value.remedy
    assert "partition 0" not in error.value.what


def test_an_expired_beginning_of_a_new_partition_is_gone_too():
    with pytest.raises(OffsetsGone, match=r"partition 2: offsets 0 to 2"):
        starting_account("sales", RECORDED, topic({0: 0, 1: 0, 2: 3}, {0: 80, 1: 60, 2: 5}))


def test_offsets_cut_off_the_end_are_named():
    assert gone_offsets(RECORDED, topic({0: 0, 1: 0}, {0: 40, 1: 60})) == {0: (40, 50)}


def test_a_recreated_topic_stops_the_stream():
    with pytest.raises(OffsetsGone, match="recreated.*id-1.*partition 0: 50.*id-2"):
        starting_account("sales", RECORDED, topic({0: 0, 1: 0}, {0: 80, 1: 90}, "id-2"))


def test_an_accepted_loss_is_counted():
    after = accepted(RECORDED, topic({0: 50, 1: 70}, {0: 80, 1: 90}))
    assert after.offsets == {0: 50, 1: 70}
    assert after.lost == {1: 10}
    assert after.rows() == {0: 50, 1: 60}
    assert starting_account("sales", after, topic({0: 50, 1: 70}, {0: 80, 1: 90})).offsets == after.offsets


def test_a_recreated_topic_begins_a_new_account():
    after = accepted(RECORDED, topic({0: 3, 1: 0}, {0: 80, 1: 90}, "id-2"))
    assert (after.topic_id, after.offsets, after.begin) == ("id-2", {0: 3, 1: 0}, {0: 3, 1: 0})
