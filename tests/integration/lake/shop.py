"""A little shop: sales by day, items with history, and three gold tables over them. For tests of gold and its load."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal as Number
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyspark.sql import SparkSession

from headwater.contracts.iceberg import apply_table
from headwater.contracts.model import (
    Column,
    Contracts,
    Dataset,
    Kind,
    PartitionField,
    RowRule,
    Severity,
    Spread,
    TableRule,
    WarehouseTable,
)
from headwater.contracts.types import Decimal, Primitive
from headwater.lake.gold import BuildResult, build
from headwater.lake.models import Model, load_model
from headwater.lake.partitions import NOTHING, Affected

MONEY = Decimal(10, 2)
LONG, STRING, DATE, INSTANT, BOOL = (
    Primitive.LONG,
    Primitive.STRING,
    Primitive.DATE,
    Primitive.TIMESTAMP,
    Primitive.BOOLEAN,
)
FIRST = datetime(1900, 1, 1, tzinfo=UTC)
OPEN = datetime(9999, 12, 31, tzinfo=UTC)

FCT = """
-- Every sale; one of an unknown item points to the unknown member.
SELECT s.sale_id, coalesce(i.item_key, '0') AS item_key, s.item_id, s.sale_date, s.amount
FROM silver.{p}sales AS s
LEFT JOIN gold.{p}dim_item AS i
    ON i.item_id = s.item_id AND i.valid_from <= s.sold_at AND s.sold_at < i.valid_to
"""
DIM = """
SELECT _version_key AS item_key, item_id, item_name, valid_from, valid_to, is_current
FROM silver.{p}items WHERE NOT _is_deleted
UNION ALL
SELECT '0', -1, 'Unknown', TIMESTAMP'1900-01-01', TIMESTAMP'9999-12-31', true
"""
MART = """
SELECT sale_date, count(*) AS sales, sum(amount) AS amount FROM gold.{p}fct_sale GROUP BY sale_date
"""


@dataclass
class Shop:
    """The shop's contracts, models and tables; `prefix` keeps tests apart that share a lake."""

    spark: SparkSession
    catalog: Catalog
    contracts: Contracts
    models: dict[str, Model]
    prefix: str

    def build(self, name: str, requested: Affected = NOTHING) -> BuildResult:
        return build(self.spark, self.catalog, self.contracts, self.models[name], requested)

    def build_all(self) -> dict[str, BuildResult]:
        return {name: self.build(name) for name in ("dim_item", "fct_sale", "mart_day")}

    def sell(self, *sales: tuple[int, int, date, str]) -> None:
        """Append sales (id, item, date, amount) to silver."""
        rows = [(i, item, d, datetime(d.year, d.month, d.day, 12, tzinfo=UTC), Number(a)) for i, item, d, a in sales]
        types = "sale_id long, item_id long, sale_date date, sold_at timestamp, amount decimal(10,2)"
        frame = self.spark.createDataFrame(rows, types).selectExpr("*", "sold_at AS _ingested_at")
        frame.writeTo(f"lake.silver.{self.prefix}sales").append()

    def delete_sales(self, condition: str) -> None:
        self.spark.sql(f"DELETE FROM lake.silver.{self.prefix}sales WHERE {condition}")

    def items(self, *versions: tuple[int, str, datetime, datetime]) -> None:
        """Replace all item versions (id, name, valid_from, valid_to)."""
        names = ("item_id", "item_name", "_is_deleted", "_version_key", "valid_from", "valid_to", "is_current")
        rows = [(i, n, False, f"{i}@{f:%Y%m%d}", f, t, t == OPEN) for i, n, f, t in versions]
        table = self.catalog.load_table(f"silver.{self.prefix}items")
        table.overwrite(_arrow(names, rows, table.schema().as_arrow()))

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        """The rows of a gold table on main, sorted."""
        return sorted(tuple(r) for r in self.spark.table(f"lake.gold.{self.prefix}{name}").collect())

    def files(self, name: str, month: str) -> set[str]:
        """Data files of one month (2017-02) of a gold table."""
        files = self.spark.table(f"lake.gold.{self.prefix}{name}.files")
        month_number = f"months_between(DATE'{month}-01', DATE'1970-01-01')"
        rows = files.where(f"partition.sale_date_month = {month_number}").select("file_path").collect()
        return {row[0] for row in rows}

    def snapshots(self) -> dict[str, int | None]:
        return {name: self.snapshot(name) for name in self.models}

    def snapshot(self, name: str) -> int | None:
        found = self.catalog.load_table(f"gold.{self.prefix}{name}").current_snapshot()
        return None if found is None else found.snapshot_id

    def dataset(self, name: str) -> Dataset:
        return self.models[name].dataset


def _arrow(names: tuple[str, ...], rows: Iterable[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    records = [dict(zip(names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist([{f.name: r.get(f.name) for f in schema} for r in records], schema=schema)


def open_shop(spark: SparkSession, catalog: Catalog, models_dir: Path, prefix: str) -> Shop:
    """Create the shop's silver and gold tables, empty."""
    contracts = Contracts({d.name: d for d in datasets(prefix)})
    models = {}
    for name, text in (("dim_item", DIM), ("fct_sale", FCT), ("mart_day", MART)):
        dataset = contracts.get(f"{prefix}{name}")
        path = models_dir / dataset.domain / f"{dataset.name}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(p=prefix))
        models[name] = load_model(dataset, models_dir, contracts)
    for dataset in contracts.datasets.values():
        apply_table(catalog, dataset, f"{'gold' if dataset.kind is Kind.MODEL else 'silver'}.{dataset.name}")
    return Shop(spark, catalog, contracts, models, prefix)


def datasets(p: str) -> Iterable[Dataset]:
    day = (PartitionField("sale_date", "month"),)
    common = {"domain": "shop", "version": "1.0.0", "owner": "test", "path": Path("shop.yaml")}
    sales = (
        Column("sale_id", LONG, primary_key=True),
        Column("item_id", LONG),
        Column("sale_date", DATE),
        Column("sold_at", INSTANT),
        Column("amount", MONEY),
    )
    yield Dataset(f"{p}sales", kind=Kind.FILES, description="Sales", columns=sales, partition_by=day, **common)
    items = (Column("item_id", LONG, primary_key=True), Column("item_name", STRING))
    yield Dataset(f"{p}items", kind=Kind.TABLE, description="Items", columns=items, history=True, **common)
    yield Dataset(
        f"{p}dim_item",
        kind=Kind.MODEL,
        description="Item versions",
        columns=(
            Column("item_key", STRING, required=True, primary_key=True),
            Column("item_id", LONG, required=True, sources=(f"{p}items.item_id",)),
            Column("item_name", STRING, required=True),
            Column("valid_from", INSTANT, required=True),
            Column("valid_to", INSTANT, required=True),
            Column("is_current", BOOL, required=True),
        ),
        spread={f"{p}items": Spread.WHOLE},
        table_rules=(TableRule("primary_key_unique", "duplicateValues", ("item_key",), maximum=0),),
        warehouse=WarehouseTable("gold", order_by=("item_key",)),
        **common,
    )
    orphans = f"SELECT count(*) FROM ${{table}} t LEFT ANTI JOIN gold.{p}dim_item r ON t.item_key = r.item_key"
    yield Dataset(
        f"{p}fct_sale",
        kind=Kind.MODEL,
        description="Sales with their item's version",
        columns=(
            Column("sale_id", LONG, required=True, primary_key=True),
            Column("item_key", STRING, required=True, references=f"{p}dim_item.item_key"),
            Column("item_id", LONG, required=True, sources=(f"{p}sales.item_id",)),
            Column("sale_date", DATE, required=True, sources=(f"{p}sales.sale_date",)),
            Column("amount", MONEY, required=True),
        ),
        spread={f"{p}sales": Spread.SAME, f"{p}dim_item": Spread.FROM_DATE},
        change_column="sale_date",
        partition_by=day,
        row_rules=(
            RowRule("sale_date_required", "sale_date IS NOT NULL", "sale_date", check="required"),
            RowRule("amount_minimum", "(amount IS NULL OR amount >= 0)", "amount", check="minimum"),
            RowRule("amount_usual", "amount < 1000", "amount", Severity.WARNING),
        ),
        table_rules=(
            TableRule("primary_key_unique", "duplicateValues", ("sale_id",), maximum=0),
            TableRule(
                "item_key_refers_to_dim_item",
                "sql",
                ("item_key",),
                maximum=0,
                query=orphans,
                arguments={"scope": "rows"},
            ),
            TableRule("has_sales", "rowCount", minimum=1),
        ),
        warehouse=WarehouseTable("gold", order_by=("sale_date", "sale_id"), partition_by="toYYYYMM(sale_date)"),
        **common,
    )
    yield Dataset(
        f"{p}mart_day",
        kind=Kind.MODEL,
        description="Sales by day",
        columns=(
            Column("sale_date", DATE, required=True, primary_key=True, sources=(f"{p}fct_sale.sale_date",)),
            Column("sales", LONG, required=True),
            Column("amount", Decimal(20, 2), required=True),
        ),
        spread={f"{p}fct_sale": Spread.SAME},
        change_column="sale_date",
        partition_by=day,
        table_rules=(TableRule("primary_key_unique", "duplicateValues", ("sale_date",), maximum=0),),
        warehouse=WarehouseTable("gold", order_by=("sale_date",), partition_by="toYYYYMM(sale_date)"),
        **common,
    )
