"""Rows of bronze judged without Spark, as silver judges them: cleansed, derived columns added, rules applied.

The contract's expressions are Spark SQL; DuckDB evaluates them on Arrow, translated by sqlglot. `lake.conform` has the
same in Spark: both take the expressions from `contracts.cleansing` and `contracts.quality`.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa
import sqlglot

from headwater.contracts.cleansing import cleansed, typed
from headwater.contracts.layers import ERROR, RULE
from headwater.contracts.model import Dataset
from headwater.contracts.quality import broken_rules, error_rules

_NUMBER = "_number"


def rules_broken(dataset: Dataset, rows: pa.Table) -> list[tuple[str, ...]]:
    """Names of the error rules that each of these readable rows of bronze breaks, in the order of the rows.

    Raises `duckdb.Error` where a value cannot be judged at all, as a text that a derived column cannot cast.
    """
    numbered = rows.append_column(_NUMBER, pa.array(range(rows.num_rows), pa.int64()))
    sql = (
        f"SELECT {_NUMBER}, {broken_rules(error_rules(dataset))} AS {RULE.name} "  # noqa: S608
        f"FROM ({conformed(dataset, tuple(numbered.schema.names))}) ORDER BY {_NUMBER}"
    )
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("batch", numbered)
        found = connection.sql(duck(sql)).to_arrow_table()[RULE.name].to_pylist()
    return [tuple(names) for names in found]


def conformed(dataset: Dataset, present: tuple[str, ...]) -> str:
    """Spark SQL over readable rows of bronze with these columns, named `batch`: cleansed, with derived columns.

    Names and expressions come from the contract, which is reviewed code; no value of a row is part of the text.
    """
    own = {column.name for column in dataset.source_columns}
    others = [f"`{name}`" for name in present if name not in own]
    rows = f"SELECT {', '.join([*(cleansed(c, present) for c in dataset.source_columns), *others])} FROM batch"  # noqa: S608
    rows += f" WHERE {ERROR} IS NULL"
    for column in dataset.columns:
        if column.derived is not None:
            rows = f"SELECT *, {typed(f'({column.derived})', column)} AS `{column.name}` FROM ({rows})"  # noqa: S608
    return rows


def duck(expression: str) -> str:
    """A Spark SQL expression or query in DuckDB's dialect."""
    return sqlglot.transpile(expression, read="spark", write="duckdb")[0]
