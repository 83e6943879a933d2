"""Ranges of rows against the range an account covers."""

import pytest

from headwater.streaming.verification import Range, compare


@pytest.mark.parametrize(
    ("rows", "gaps", "overlaps", "outside"),
    [
        ([(0, 10)], [], [], []),
        ([(4, 10), (0, 4)], [], [], []),
        ([], [(0, 10)], [], []),
        ([(0, 3), (5, 7)], [(3, 5), (7, 10)], [], []),
        ([(0, 6), (4, 10)], [], [(4, 6)], []),
        ([(0, 10), (2, 3), (3, 4), (8, 9)], [], [(2, 4), (8, 9)], []),
        ([(0, 10), (0, 10), (0, 10)], [], [(0, 10)], []),
        ([(0, 12)], [], [], [(10, 12)]),
        ([(12, 14)], [(0, 10)], [], [(12, 14)]),
        ([(0, 12), (11, 15)], [], [(11, 12)], [(10, 15)]),
    ],
)
def test_names_gaps_overlaps_and_what_is_not_covered(
    rows: list[Range], gaps: list[Range], overlaps: list[Range], outside: list[Range]
):
    assert compare(rows, 0, 10) == (gaps, overlaps, outside)


def test_what_lies_before_the_first_offset_taken_is_not_covered():
    assert compare([(2, 6)], 4, 8) == ([(6, 8)], [], [(2, 4)])
