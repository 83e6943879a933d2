"""The account of a stream: arithmetic, and the summary keys it travels in."""

import pytest

from headwater.errors import TerminalError
from headwater.streaming.ledger import Account, account_of, from_json, to_json

ACCOUNT = Account("topic-1", begin={0: 0, 1: 10}, offsets={0: 5, 1: 30})


def test_a_batch_covers_the_offsets_between_its_ends():
    after = ACCOUNT.advanced({0: 9, 1: 30})
    assert after.counts == {0: 4, 1: 0}
    assert after.offsets == {0: 9, 1: 30}
    assert after.rows() == {0: 9, 1: 20}


def test_a_partition_that_is_new_begins_at_zero():
    after = ACCOUNT.advanced({0: 5, 1: 30, 2: 7})
    assert (after.begin[2], after.offsets[2], after.counts[2]) == (0, 7, 7)


def test_a_batch_that_goes_backwards_is_refused():
    with pytest.raises(TerminalError, match="before the offsets already read"):
        ACCOUNT.advanced({0: 4, 1: 30})


def test_the_account_survives_the_summary():
    account = Account("t", {0: 1}, {0: 9}, counts={0: 4}, empty={0: 2}, lost={0: 1})
    found = account_of({**account.properties(), "added-records": "4"}, 77)
    assert found is not None
    assert (found.topic_id, found.begin, found.offsets, found.counts) == ("t", {0: 1}, {0: 9}, {0: 4})
    assert (found.empty, found.lost, found.snapshot_id, found.unproven) == ({0: 2}, {0: 1}, 77, 0)


def test_fewer_rows_than_offsets_are_unproven():
    found = account_of({**ACCOUNT.advanced({0: 9, 1: 33}).properties(), "added-records": "5"})
    assert found is not None
    assert found.unproven == 2


def test_a_snapshot_without_the_keys_has_no_account():
    assert account_of({"added-records": "5"}) is None


def test_rows_leave_out_empty_and_lost_offsets():
    assert Account("t", {0: 10}, {0: 30}, empty={0: 3}, lost={0: 5}).rows() == {0: 12}


def test_numbers_by_partition_are_written_in_order():
    assert to_json({10: 1, 2: 3}) == '{"2":3,"10":1}'
    assert from_json('{"2":3,"10":1}') == {2: 3, 10: 1}
