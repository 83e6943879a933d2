"""Appends that the live follower takes in one step."""

from types import SimpleNamespace
from typing import Any

import pytest

from headwater.streaming import live


def appended(number: int, rows: int) -> Any:
    return SimpleNamespace(
        snapshot_id=number, summary=SimpleNamespace(additional_properties={"added-records": str(rows)})
    )


@pytest.mark.parametrize(
    ("rows", "steps"),
    [
        ([], []),
        ([5], [(0, 0)]),
        ([5, 6, 7], [(0, 2)]),
        ([60, 50, 1], [(0, 1), (2, 2)]),
        ([200, 1, 1], [(0, 0), (1, 2)]),
        ([100, 100], [(0, 0), (1, 1)]),
    ],
)
def test_small_appends_go_together_and_every_one_is_in_a_step(monkeypatch, rows, steps):
    monkeypatch.setattr(live, "ROWS_PER_STEP", 100)
    appends = [appended(number, count) for number, count in enumerate(rows)]
    assert [(first.snapshot_id, last.snapshot_id) for first, last in live.together(appends)] == steps
