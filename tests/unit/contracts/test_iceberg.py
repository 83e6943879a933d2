"""Tables are created, evolved and left alone, in a real catalog (PyIceberg on SQLite)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.types import DecimalType, LongType

from headwater.contracts.iceberg import ensure_tables, plan_tables
from headwater.errors import ContractError

if TYPE_CHECKING:
    from conftest import Edit

FLAG = "{name: flag, logicalType: boolean, physicalType: boolean}"


@pytest.fixture
def catalog(tmp_path: Path) -> SqlCatalog:
    return SqlCatalog("lake", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/lake")


def test_tables_are_created_once(catalog: SqlCatalog, edited: Edit) -> None:
    dataset = edited()
    planned = plan_tables(catalog, dataset)
    assert planned == [
        "create table bronze.every_type",
        "create table silver.every_type",
        "create table silver.every_type_refused",
    ]
    assert ensure_tables(catalog, dataset) == planned
    assert ensure_tables(catalog, dataset) == []


def test_columns_are_added_promoted_and_kept(catalog: SqlCatalog, edited: Edit) -> None:
    ensure_tables(catalog, edited())
    more = "      - {name: more, logicalType: string, physicalType: string}\n"
    wider = edited(
        *(f"      - {FLAG}\n", more),
        *("        physicalType: int\n", "        physicalType: long\n"),
        *("physicalType: decimal(10,2)", "physicalType: decimal(12,2)"),
    )
    assert ensure_tables(catalog, wider)
    assert ensure_tables(catalog, wider) == []
    schema = catalog.load_table("bronze.every_type").schema()
    assert schema.find_field("flag")
    assert schema.find_field("more")
    assert schema.find_field("small").field_type == LongType()
    assert schema.find_field("money").field_type == DecimalType(12, 2)


def test_what_iceberg_cannot_promote_is_refused_and_nothing_done(catalog: SqlCatalog, edited: Edit) -> None:
    ensure_tables(catalog, edited())
    before = catalog.load_table("silver.every_type").metadata_location
    with pytest.raises(ContractError, match=r"Iceberg cannot turn decimal\(10, 2\) into decimal\(10, 4\)"):
        ensure_tables(catalog, edited("physicalType: decimal(10,2)", "physicalType: decimal(10,4)"))
    assert catalog.load_table("silver.every_type").metadata_location == before


def test_other_partitions_are_refused(catalog: SqlCatalog, edited: Edit) -> None:
    ensure_tables(catalog, edited())
    with pytest.raises(ContractError, match="the contract says otherwise"):
        ensure_tables(catalog, edited("value: month", "value: day"))
