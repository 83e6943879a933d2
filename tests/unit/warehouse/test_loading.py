"""What of the lake ClickHouse is given: types within its calendar, whole partitions, inputs before what reads them."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Column, PartitionField, WarehouseTable
from headwater.contracts.types import Primitive
from headwater.warehouse.arrow import LoadRefused, chunks, for_clickhouse
from headwater.warehouse.loading import loadable
from headwater.warehouse.partitions import partition_cut

CATALOGUE = load_contracts()
SALES = CATALOGUE.get("fct_sales")


def test_open_ends_become_the_end_of_the_calendar_and_null_stays_null() -> None:
    instants = [datetime(9999, 12, 31, tzinfo=UTC), datetime(2017, 1, 1, tzinfo=UTC), None]
    table = pa.table(
        {
            "t": pa.array(instants, pa.timestamp("us", "UTC")),
            "d": pa.array([date(9999, 12, 31), date(1900, 1, 1), None], pa.date32()),
        }
    )
    columns = (Column("d", Primitive.DATE), Column("t", Primitive.TIMESTAMP))
    found = for_clickhouse(table, columns, "here")
    assert found.column_names == ["d", "t"]
    assert found["d"].to_pylist() == [date(2299, 12, 31), date(1900, 1, 1), None]
    assert found["t"].to_pylist() == [datetime(2299, 12, 31, tzinfo=UTC), *instants[1:]]


def test_a_null_in_a_required_column_is_refused_with_its_name() -> None:
    table = pa.table({"a": pa.array([1, None], pa.int64())})
    with pytest.raises(LoadRefused, match="gold.x: 1 rows have no a"):
        for_clickhouse(table, (Column("a", Primitive.LONG, required=True),), "gold.x")


def test_batches_are_put_together_and_none_is_lost() -> None:
    batches = [pa.record_batch({"a": list(range(n))}) for n in (3, 0, 4, 2, 1)]
    found = list(chunks(iter(batches), rows=5))
    assert [t.num_rows for t in found] == [7, 3]
    assert list(chunks(iter([]))) == []


@pytest.mark.parametrize(
    ("partition_by", "cut"),
    [
        ("toYYYYMM(sale_date)", PartitionField("sale_date", "month")),
        ("toYear(sale_date)", PartitionField("sale_date", "year")),
        ("toYYYYMM(week_end)", None),  # not the column by which changes are told
        ("cityHash64(store_id) % 4", None),
        (None, None),
    ],
)
def test_partitions_that_can_be_swapped_one_by_one(partition_by: str | None, cut: PartitionField | None) -> None:
    table = WarehouseTable("gold", order_by=("sale_date",), partition_by=partition_by)
    assert partition_cut(dataclasses.replace(SALES, warehouse=table)) == cut


def test_what_is_read_comes_before_what_reads_it() -> None:
    names = [d.name for d in loadable(CATALOGUE, "loyalty")]
    assert len(names) == len(set(names)) == 16
    for dataset in loadable(CATALOGUE, "loyalty"):
        assert all(names.index(i) < names.index(dataset.name) for i in dataset.inputs if i in names)


def test_named_datasets_alone() -> None:
    assert [d.name for d in loadable(CATALOGUE, names=["fct_sales"])] == ["fct_sales"]
