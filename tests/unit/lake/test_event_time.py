"""How far a stream's events have come, and how late one may be."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from tests.unit.lake.tables import append, new_catalog

from headwater.contracts.loader import load_dataset
from headwater.lake.event_time import EventTime, event_time, watermark

NOON = datetime(2017, 6, 15, 12, 0, 0, 250_000, tzinfo=UTC)
SALES = load_dataset("transactions")


def test_the_nearest_snapshot_that_says_it_says_it_all(tmp_path: Path) -> None:
    table = new_catalog(tmp_path).create_table("silver.t", pa.schema([("id", pa.int64())]))
    assert event_time(table) == EventTime()
    append(table, [1], **EventTime(NOON, {"hour": 1}).properties())
    append(table, [2], other="maintenance")
    assert event_time(table) == EventTime(NOON, {"hour": 1, "day": 0, "older": 0})


def test_counts_add_up_and_time_never_goes_back() -> None:
    so_far, batch = EventTime(NOON, {"hour": 1, "day": 2}), EventTime(NOON - timedelta(days=1), {"day": 3, "older": 1})
    assert so_far.after(batch) == EventTime(NOON, {"hour": 1, "day": 5, "older": 1})
    assert so_far.after(batch).total == 7
    assert EventTime().after(EventTime()).properties() == {}


@pytest.mark.parametrize(("allowed", "behind"), [(60, timedelta(minutes=1)), (7200, timedelta(hours=2))])
def test_the_watermark_lies_behind_the_newest_event(allowed: int, behind: timedelta) -> None:
    dataset = dataclasses.replace(SALES, watermark_seconds=allowed)
    assert watermark(dataset, EventTime(NOON)) == NOON - behind


def test_without_an_event_and_without_a_stream_nothing_is_late() -> None:
    assert watermark(SALES, EventTime()) is None
    assert watermark(load_dataset("products"), EventTime(NOON)) is None
