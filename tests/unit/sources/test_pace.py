import numpy as np

from headwater.sources.pace import FullSpeed, Rate, Speed

SECOND = 1_000_000
TIMES = np.array([100, 101, 101, 110], dtype=np.int64) * SECOND


def test_full_speed_has_everything_due_at_once():
    assert FullSpeed().plan(TIMES)(0.0) == 4


def test_a_rate_counts_by_the_clock():
    due = Rate(1000).plan(TIMES)
    assert [due(0.0), due(0.5), due(2.0)] == [0, 500, 2000]


def test_a_speed_counts_by_event_time_from_the_first_event():
    due = Speed(10).plan(TIMES)
    assert [due(0.0), due(0.09), due(0.1), due(0.99), due(1.0)] == [1, 1, 3, 3, 4]


def test_nothing_is_due_of_nothing():
    assert Speed(1).plan(TIMES[:0])(5.0) == 0
