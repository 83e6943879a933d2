"""How much of a topic a batch takes."""

import pytest

from headwater.streaming.query import largest_batch


@pytest.mark.parametrize(
    ("usual", "failures", "offsets"),
    [(2_000_000, 0, 2_000_000), (2_000_000, 1, 1_000_000), (2_000_000, 9, 500_000), (300_000, 0, 300_000), (7, 9, 7)],
)
def test_a_batch_is_halved_after_each_failure_down_to_what_costs_nothing(usual: int, failures: int, offsets: int):
    assert largest_batch(usual, failures) == offsets
