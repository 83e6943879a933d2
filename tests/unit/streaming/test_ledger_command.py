"""What `headwater ledger` tells people."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headwater.streaming.commands import _print_reaches
from headwater.streaming.reach import PartitionReach, StreamReach

NOON = datetime(2017, 6, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("late", "said"),
    [
        ({"hour": 1200, "day": 0, "older": 3}, "1,200 by up to an hour, 3 by more than a day"),
        ({"hour": 0, "day": 2, "older": 0}, "2 by up to a day"),
        ({}, "none"),
    ],
)
def test_late_events_are_told_by_how_late_they_came(
    capsys: pytest.CaptureFixture[str], late: dict[str, int], said: str
) -> None:
    come = StreamReach("sales", "loyalty.sales", "T", tuple[PartitionReach, ...](), newest_event=NOON, late=late)
    _print_reaches([come])
    assert f"loyalty.sales: newest event 2017-06-15 12:00:00; late: {said}\n" in capsys.readouterr().out
