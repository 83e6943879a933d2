"""Ranges of missing offsets."""

import numpy as np
import pytest

from headwater.streaming.gaps import runs


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [([3], [(3, 4)]), ([3, 4, 5], [(3, 6)]), ([3, 5, 6, 9], [(3, 4), (5, 7), (9, 10)])],
)
def test_neighbours_make_one_range(offsets: list[int], expected: list[tuple[int, int]]):
    assert list(runs(np.array(offsets, dtype=np.int64))) == expected
