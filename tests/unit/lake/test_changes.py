"""Which dates have changed, from partitions and bounds alone."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DateType, LongType, NestedField
from tests.unit.lake.tables import new_catalog

from headwater.lake.changes import ChangedDates, DateRange, _month, changed_partitions, joined

SCHEMA = Schema(NestedField(1, "id", LongType()), NestedField(2, "day", DateType()))
BY_DAY = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="day"))


@pytest.fixture(params=["partitioned", "plain"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    spec = BY_DAY if request.param == "partitioned" else PartitionSpec()
    return new_catalog(tmp_path).create_table("silver.t", SCHEMA, partition_spec=spec)


def _append(table: Table, *days: date) -> int:
    columns = {"id": pa.array(range(len(days)), pa.int64()), "day": pa.array(days, pa.date32())}
    table.append(pa.table(columns))
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return snapshot.snapshot_id


def test_the_days_of_new_rows(table: Table) -> None:
    first = _append(table, date(2017, 1, 1))
    _append(table, date(2017, 2, 3), date(2017, 2, 4))
    assert changed_partitions(table, first, "day") == ChangedDates((DateRange(date(2017, 2, 3), date(2017, 2, 5)),))


def test_nothing_has_changed_since_the_head(table: Table) -> None:
    head = _append(table, date(2017, 1, 1))
    assert changed_partitions(table, head, "day") == ChangedDates(())
    assert not changed_partitions(table, head, "day")


def test_without_a_beginning_everything_has(table: Table) -> None:
    _append(table, date(2017, 1, 1))
    assert changed_partitions(table, None, "day") is None


def test_days_of_removed_rows_count(table: Table) -> None:
    _append(table, date(2017, 1, 1))
    second = _append(table, date(2017, 3, 1))
    table.delete("day = '2017-01-01'")
    assert changed_partitions(table, second, "day") == ChangedDates((DateRange(date(2017, 1, 1), date(2017, 1, 2)),))


def test_an_expired_beginning_means_everything(table: Table) -> None:
    first = _append(table, date(2017, 1, 1))
    second = _append(table, date(2017, 1, 2))
    _append(table, date(2017, 1, 3))
    table.maintenance.expire_snapshots().by_ids([first, second]).commit()
    assert changed_partitions(table, first, "day") is None


def test_ranges_are_joined_where_they_touch() -> None:
    january, february = DateRange(date(2017, 1, 1), date(2017, 2, 1)), DateRange(date(2017, 2, 1), date(2017, 3, 1))
    may = DateRange(date(2017, 5, 1), date(2017, 6, 1))
    assert joined({may, february, january}) == (DateRange(date(2017, 1, 1), date(2017, 3, 1)), may)


@pytest.mark.parametrize(("months", "first"), [(0, date(1970, 1, 1)), (564, date(2017, 1, 1)), (-1, date(1969, 12, 1))])
def test_months_since_1970(months: int, first: date) -> None:
    assert _month(months) == first
