"""Readings are shared, and nobody gets one that began before the call."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from headwater.serving.fresh import Fresh


def test_a_recent_value_is_not_read_again():
    readings = iter(range(10))
    fresh = Fresh(lambda: next(readings))
    assert (fresh.recent(60), fresh.recent(60), fresh.newer(), fresh.recent(60)) == (0, 0, 1, 1)
    assert fresh.recent(0) == 2


def test_who_comes_while_one_reads_gets_the_next_reading_together_with_the_others():
    started, go = threading.Event(), threading.Event()
    readings: list[int] = []

    def read() -> int:
        readings.append(len(readings))
        if len(readings) == 1:
            started.set()
            go.wait(10)
        return readings[-1]

    fresh = Fresh(read)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(fresh.newer)
        assert started.wait(10)
        others = [pool.submit(fresh.newer) for _ in range(8)]
        go.set()
        assert first.result(10) == 0
        later = [other.result(10) for other in others]
    assert 0 not in later
    assert len(readings) <= 1 + 8
    assert min(later) >= 1


def test_an_error_goes_to_who_reads_and_the_next_one_reads_again():
    answers: list[object] = [OSError("gone"), 7]

    def read() -> object:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    fresh = Fresh(read)
    with pytest.raises(OSError, match="gone"):
        fresh.newer()
    assert fresh.newer() == 7
