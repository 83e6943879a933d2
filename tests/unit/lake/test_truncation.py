"""Silver remembers the truncates it has read, in the order in which they were committed."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from tests.unit.lake.tables import new_catalog

from headwater.lake.truncation import REMEMBERED, Truncate, joined, remembered, truncate_properties

MOMENT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ONE = Truncate(100, 120, MOMENT, MOMENT, "t", 3, 7)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    table = new_catalog(tmp_path).create_table("silver.a", pa.schema([("id", pa.int64())]))
    assert remembered(table, "bronze.a") == []
    later = dataclasses.replace(ONE, prior_commit=300, lsn=110)
    rows = pa.table({"id": pa.array([1], pa.int64())})
    table.append(rows, snapshot_properties=truncate_properties("bronze.a", [later, ONE]))
    assert remembered(table, "bronze.a") == [ONE, later]
    assert remembered(table, "bronze.b") == []


def test_the_newest_are_kept() -> None:
    many = [dataclasses.replace(ONE, lsn=n) for n in range(REMEMBERED + 5)]
    (text,) = truncate_properties("bronze.a", many).values()
    assert text.count('"lsn"') == REMEMBERED
    assert '"lsn":4,' not in text
    assert truncate_properties("bronze.a", []) == {}


def test_a_repeat_counts_once() -> None:
    assert joined([ONE], [dataclasses.replace(ONE, offset=9)]) == [ONE]
