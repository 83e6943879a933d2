"""A gold model: one SELECT in `spark_jobs/gold/<domain>/<dataset>.sql`, or a function of Spark in `<dataset>.py`.

The SQL names its inputs as `silver.<dataset>` or `gold.<dataset>`. A build reads each of them at one snapshot, the one
it then records, so that what is recorded is what was read. A `.py` file defines `model(spark) -> DataFrame`; it names
its inputs in the contract's `spread` and reads their newest snapshots, which are no older than those recorded.
"""

from __future__ import annotations

import hashlib
import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from headwater.contracts.model import Contracts, Dataset, Kind, Spread
from headwater.errors import ContractError, TerminalError
from headwater.lake.sessions import CATALOG

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class ModelError(TerminalError):
    """A gold model is missing, cannot be parsed, or does not give the columns of its contract."""


@dataclass(frozen=True, slots=True)
class Model:
    """A gold dataset with its text and the tables it reads (`<layer>.<dataset>`, sorted)."""

    dataset: Dataset
    path: Path
    text: str
    inputs: tuple[str, ...]

    @property
    def table(self) -> str:
        """The table it fills, `gold.<dataset>`."""
        return f"gold.{self.dataset.name}"

    @property
    def fingerprint(self) -> str:
        """Changes when the model means something else: its SQL but for comments and layout, or its columns."""
        text = self.text
        if self.path.suffix == ".sql":
            text = sqlglot.parse_one(text, read="spark").sql("spark", comments=False)
        columns = ",".join(f"{column.name} {column.type}" for column in self.dataset.columns)
        return hashlib.sha256(f"{text}\n{columns}".encode()).hexdigest()[:16]

    def spread_of(self, table: str) -> Spread:
        """How a change of one of `inputs` spreads. Raises `ContractError` where the contract does not say."""
        name = table.split(".")[1]
        if name not in self.dataset.spread:
            raise ContractError(
                f"the model reads {table}, but the contract does not say how its changes spread",
                where=str(self.dataset.path),
                remedy=f"add '{name}: whole' (or same, from-date, none) to the customProperty 'spread'",
            )
        return self.dataset.spread[name]

    def frame(self, spark: SparkSession, pins: Mapping[str, int]) -> DataFrame:
        """The model's rows from its inputs at the snapshots of `pins`, as the contract's columns in its order.

        Raises `ModelError` for a column that is missing or too many.
        """
        if self.path.suffix == ".py":
            found = cast("DataFrame", runpy.run_path(str(self.path))["model"](spark))
        else:
            found = spark.sql(pinned(self.text, pins))
        wanted = [column.name for column in self.dataset.columns]
        if found.columns != wanted:
            raise ModelError(
                f"the model gives {_difference(found.columns, wanted)}",
                where=str(self.path),
                remedy=f"select exactly the columns of {self.dataset.path.name}, in its order",
            )
        return found.selectExpr(*(_cast(column.name, str(column.type)) for column in self.dataset.columns))


def load_model(dataset: Dataset, directory: Path, contracts: Contracts) -> Model:
    """The model of a gold dataset. Raises `ModelError` where its file is missing or is not one SELECT."""
    if dataset.kind is not Kind.MODEL:
        raise ModelError(f"{dataset.name} is a {dataset.kind}, not a gold model", where=str(dataset.path))
    for suffix in (".sql", ".py"):
        path = directory / dataset.domain / f"{dataset.name}{suffix}"
        if path.is_file():
            text = path.read_text()
            inputs = inputs_of(text, path) if suffix == ".sql" else _declared_inputs(dataset, contracts)
            return Model(dataset, path, text, inputs)
    raise ModelError(
        f"gold dataset {dataset.name} has no model",
        where=str(directory / dataset.domain / f"{dataset.name}.sql"),
        remedy="write its SELECT into that file",
    )


def inputs_of(sql: str, path: Path | None = None) -> tuple[str, ...]:
    """The tables a SELECT reads, as `<layer>.<dataset>`, sorted; names of its own CTEs are none."""
    try:
        statements = sqlglot.parse(sql, read="spark")
    except SqlglotError as error:
        raise ModelError(f"cannot be parsed: {error}", where=str(path or "")) from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise ModelError("a model is one SELECT", where=str(path or ""), remedy="leave one statement in the file")
    return tuple(sorted({f"{t.db}.{t.name}" for t in statements[0].find_all(exp.Table) if t.db}))


def pinned(sql: str, pins: Mapping[str, int]) -> str:
    """The SQL with each `<layer>.<dataset>` in the catalog `lake` and, where `pins` has it, at that snapshot.

    Only the table names are touched: SQL that is parsed and written out again would be another text than the author's.
    """
    parts: list[tuple[int, int, str]] = []
    for table in sqlglot.parse_one(sql, read="spark").find_all(exp.Table):
        if not table.db or table.catalog:
            continue
        name = f"{table.db}.{table.name}"
        version = f" VERSION AS OF {pins[name]}" if name in pins else ""
        begin, end = table.args["db"].meta["start"], table.this.meta["end"] + 1
        parts.append((begin, end, f"{CATALOG}.{name}{version}"))
    for begin, end, text in sorted(parts, reverse=True):
        sql = sql[:begin] + text + sql[end:]
    return sql


def _declared_inputs(dataset: Dataset, contracts: Contracts) -> tuple[str, ...]:
    layer = {name: "gold" if contracts.get(name).kind is Kind.MODEL else "silver" for name in dataset.spread}
    return tuple(sorted(f"{layer[name]}.{name}" for name in dataset.spread))


def _difference(found: list[str], wanted: list[str]) -> str:
    if missing := [name for name in wanted if name not in found]:
        return f"no column {', '.join(missing)}"
    if extra := [name for name in found if name not in wanted]:
        return f"the column {', '.join(extra)}, which the contract does not know"
    return f"its columns in another order: {', '.join(found)}"


def _cast(name: str, kind: str) -> str:
    return f"cast(`{name}` AS {kind.replace('uuid', 'string')}) AS `{name}`"
