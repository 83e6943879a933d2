"""Reads the cases of tests/datasets, plays them on a real lake, and tells what silver holds afterwards."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from pyiceberg.catalog import Catalog
from pyspark.sql import SparkSession

from headwater.contracts.iceberg import ensure_tables
from headwater.contracts.layers import bronze_columns
from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Dataset, Kind, RowRule
from headwater.contracts.types import Array, Map, Primitive
from headwater.contracts.types import Decimal as DecimalType
from headwater.lake.restate import restate
from headwater.lake.silver import build

FOLDER = Path(__file__).parent
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ARROW = {
    Primitive.STRING: pa.string(),
    Primitive.UUID: pa.string(),
    Primitive.BOOLEAN: pa.bool_(),
    Primitive.INT: pa.int32(),
    Primitive.LONG: pa.int64(),
    Primitive.FLOAT: pa.float32(),
    Primitive.DOUBLE: pa.float64(),
    Primitive.DATE: pa.date32(),
    Primitive.TIMESTAMP: pa.timestamp("us", "UTC"),
    Primitive.BINARY: pa.binary(),
}


def folders() -> list[Path]:
    """All case folders."""
    return sorted(path.parent for path in FOLDER.glob("*/*/input.yaml"))


class Lake:
    """A lake to play cases on, and the rows that come out."""

    def __init__(self, spark: SparkSession, catalog: Catalog) -> None:
        self.spark = spark
        self.catalog = catalog

    def dataset(self, like: str, name: str, folder: Path | None = None) -> Dataset:
        """A dataset like the contract's, under a name of its own, with fresh tables."""
        own = (folder or FOLDER) / f"{like}.yaml"
        contract = load_dataset(own if own.exists() else like)
        dataset = dataclasses.replace(contract, name=name)
        ensure_tables(self.catalog, dataset)
        return dataset

    def arrive(
        self, dataset: Dataset, rows: Sequence[Mapping[str, Any]], properties: Mapping[str, str] | None = None
    ) -> None:
        """Append rows to bronze in one commit."""
        writer = self.spark.createDataFrame(bronze_rows(dataset, rows)).writeTo(f"lake.bronze.{dataset.name}")
        for key, value in (properties or {}).items():
            writer = writer.option(f"snapshot-property.{key}", value)
        writer.append()

    def rows(self, table: str, columns: str = "*") -> list[dict[str, Any]]:
        """Rows of a table of the lake."""
        return [row.asDict(recursive=True) for row in self.spark.sql(f"SELECT {columns} FROM lake.{table}").collect()]


class Case:
    """One case, played step by step."""

    def __init__(self, folder: Path, lake: Lake) -> None:
        self.folder = folder
        self.input = yaml.safe_load((folder / "input.yaml").read_text("utf-8"))
        self.expected = yaml.safe_load((folder / "expect.yaml").read_text("utf-8"))
        self.lake = lake
        name = f"case_{folder.parent.name}_{folder.name}_{uuid.uuid4().hex[:6]}"
        self.dataset = lake.dataset(folder.parent.name, name, folder.parent)
        self.offset = 0
        self.before_last: list[dict[str, Any]] = []

    def play(self) -> None:
        """Run all steps."""
        for number, step in enumerate(self.input["steps"]):
            self.before_last = self.silver()
            ((verb, what),) = step.items()
            getattr(self, f"_{verb}")(number, what)

    def silver(self) -> list[dict[str, Any]]:
        """Silver's rows."""
        return sorted(self.lake.rows(f"silver.{self.dataset.name}"), key=repr)

    def _arrive(self, number: int, rows: list[dict[str, Any]]) -> None:
        self.lake.arrive(self.dataset, [self._complete(number, row) for row in rows])
        build(self.lake.spark, self.lake.catalog, self.dataset)

    def _restate(self, _number: int, dates: list[dt.date]) -> None:
        restate(self.lake.spark, self.lake.catalog, self.dataset, *dates)

    def _rule(self, _number: int, rules: dict[str, str]) -> None:
        added = tuple(RowRule(name, condition) for name, condition in rules.items())
        self.dataset = dataclasses.replace(self.dataset, row_rules=self.dataset.row_rules + added)

    def _complete(self, number: int, row: dict[str, Any]) -> dict[str, Any]:
        by_kind: dict[str, Any] = {
            Kind.STREAM: {"_kafka_topic": "t", "_kafka_partition": 0, "_kafka_offset": self.offset, "_attempt": 0},
            Kind.TABLE: {"_operation": "upsert"},
            Kind.CAPTURE: {
                "_kafka_topic": "t",
                "_kafka_partition": 0,
                "_kafka_offset": self.offset,
                "_attempt": 0,
                "_operation": "update",
                "_prior_commit_lsn": row.get("_lsn"),
                "_committed_at": START + dt.timedelta(seconds=row.get("_lsn") or 0),
            },
            Kind.FILES: {"_source_file": f"{self.dataset.name}/{number}.parquet"},
        }[self.dataset.kind]
        self.offset += 1
        arrived = {"_ingested_at": START + dt.timedelta(hours=number), "_record_hash": f"{number}.{self.offset}"}
        return {**by_kind, **arrived, **self.input.get("every_row", {}), **row}


def bronze_rows(dataset: Dataset, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows with all columns of the dataset's bronze; what a row does not name is null."""
    columns = {
        c.name: pa.array([_value(r.get(c.name), c.type) for r in rows], arrow_type(c.type))
        for c in bronze_columns(dataset)
    }
    return pa.table(columns)


def pick(rows: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with only the columns that are expected, as plain comparable values, sorted."""
    names = list(dict.fromkeys(name for row in expected for name in row))
    return sorted(({name: comparable(row.get(name)) for name in names} for row in rows), key=repr)


def comparable(value: Any) -> Any:
    """A value of YAML or of Spark in one form."""
    if isinstance(value, dict) and "repeat" in value:
        text = str(value["repeat"] * value["times"])
        return text.strip() if value.get("trimmed") else text
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, dict):
        return {key: comparable(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, int | float | Decimal):
        return format(Decimal(str(value)).normalize(), "f")
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(" ")
    if isinstance(value, dt.date):
        return value.isoformat()
    return value


def arrow_type(kind: Any) -> pa.DataType:
    """A contract's type in Arrow."""
    if isinstance(kind, DecimalType):
        return pa.decimal128(kind.precision, kind.scale)
    if isinstance(kind, Array):
        return pa.list_(arrow_type(kind.element))
    if isinstance(kind, Map):
        return pa.map_(pa.string(), arrow_type(kind.value))
    return ARROW[kind]


def _value(value: Any, kind: Any) -> Any:
    if isinstance(value, dict) and "repeat" in value:
        return value["repeat"] * value["times"]
    if value is None:
        return None
    if isinstance(kind, Map):
        return [(key, _value(item, kind.value)) for key, item in value.items()]
    if isinstance(kind, DecimalType):
        return Decimal(str(value))
    if kind is Primitive.TIMESTAMP:
        if not isinstance(value, dt.datetime):
            value = dt.datetime.fromisoformat(str(value))
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value
    return value
