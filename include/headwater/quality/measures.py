"""The numbers that a dataset's rules are judged by, measured in one Spark query.

Row rules become counters of one pass over the rows; each table rule becomes a subquery, which Spark runs beside the
others. 31 rules over 1.5 million rows take one query instead of the 60 that one expectation after another would take
(docs/adr/0007-gold-publish-and-load.md has the measurement).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.contracts.model import Contracts, Dataset, RowRule, Severity, TableRule
from headwater.contracts.quality import TABLE, metric_query
from headwater.errors import TerminalError
from headwater.quality.scope import judged_by_rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class RuleUnreadable(TerminalError):
    """A rule's SQL cannot be run on the table."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One rule and its number (None: the rule's query gave null); the rule holds within `minimum` and `maximum`.

    `exclusive` says whether the bounds themselves break the rule.
    """

    rule: str
    severity: Severity
    expected: str
    minimum: float | None
    maximum: float | None
    value: float | None = None
    exclusive: bool = False


def measure(
    spark: SparkSession, contracts: Contracts, dataset: Dataset, identifier: str, condition: str = "true"
) -> list[Measure]:
    """Measure all rules on the table `identifier` (as Spark names it), whose rows of `condition` are new.

    Raises `RuleUnreadable`, naming the rule, where one cannot be run.
    """
    new_rows = f"(SELECT * FROM {identifier} WHERE {condition})"  # noqa: S608 - names come from contracts
    counted = dataset.row_rules
    queries = [row_query(counted, new_rows)] if counted else []
    for rule in dataset.table_rules:
        rows = new_rows if judged_by_rows(contracts, dataset, rule) else identifier
        queries.append(metric_query(rule).replace(TABLE, rows))
    answers = ask(spark, dataset, queries, ["its row rules"] * bool(counted) + [r.name for r in dataset.table_rules])
    by_row: Sequence[Any] = answers.pop(0) if counted else ()
    numbers = [*by_row, *answers]
    rules: list[RowRule | TableRule] = [*counted, *dataset.table_rules]
    return [measured(rule, number) for rule, number in zip(rules, numbers, strict=True)]


def row_query(rules: Sequence[RowRule], rows: str) -> str:
    """One row with one array: how many rows break each rule."""
    counters = ", ".join(f"count_if(NOT coalesce({rule.expression}, false))" for rule in rules)
    return f"SELECT array({counters}) FROM {rows}"  # noqa: S608 - rules come from contracts


def failing_rows(spark: SparkSession, dataset: Dataset, rule: str, identifier: str, condition: str) -> list[str]:
    """Keys of up to three rows that break a row rule, as text; none for a table rule."""
    found = next((r for r in dataset.row_rules if r.name == rule), None)
    if found is None:
        return []
    names = dataset.primary_key or tuple(c.name for c in dataset.columns[:3])
    shown = tuple(dict.fromkeys((*names, *((found.column,) if found.column else ()))))
    rows = spark.table(identifier).where(f"({condition}) AND NOT coalesce({found.expression}, false)")
    return [", ".join(f"{k}={v}" for k, v in row.asDict().items()) for row in rows.select(*shown).limit(3).collect()]


def ask(spark: SparkSession, dataset: Dataset, queries: Sequence[str], names: Sequence[str]) -> list[Any]:
    """The only value of each query; `names` are those of their rules. Raises `RuleUnreadable`."""
    if not queries:
        return []
    try:
        return list(spark.sql("SELECT " + ", ".join(f"({q}) AS `{i}`" for i, q in enumerate(queries))).collect()[0])
    except Exception:
        for query, name in zip(queries, names, strict=True):
            try:
                spark.sql(query).collect()
            except Exception as error:
                raise RuleUnreadable(
                    f"{name}: {str(error).strip().splitlines()[0]}", where=str(dataset.path), remedy="correct its SQL"
                ) from error
        raise


def measured(rule: RowRule | TableRule, number: object) -> Measure:
    """A rule with its number: of a row rule how many rows break it."""
    value = None if number is None else float(str(number))
    if isinstance(rule, RowRule):
        return Measure(rule.name, rule.severity, f"every row: {rule.expression}", 0, 0, value)
    of = f" of {', '.join(rule.columns)}" if rule.columns else ""
    what = "its query to give" if rule.metric == "sql" else f"{rule.metric}{of}"
    unit = " %" if rule.unit == "percent" else ""
    expected = f"{what} {_bounds(rule)}{unit}"
    return Measure(rule.name, rule.severity, expected, rule.minimum, rule.maximum, value, rule.exclusive)


def _bounds(rule: TableRule) -> str:
    low, high = rule.minimum, rule.maximum
    if low is not None and high is not None and not rule.exclusive:
        return shown(low) if low == high else f"{shown(low)} to {shown(high)}"
    least, most = ("more than", "less than") if rule.exclusive else ("at least", "at most")
    ends = [f"{word} {shown(bound)}" for word, bound in ((least, low), (most, high)) if bound is not None]
    return " and ".join(ends) or "a number"


def shown(number: float) -> str:
    """A number as people write it: 1020000, not 1.02e+06."""
    return f"{number:.12g}"
