"""Quality: a dataset's rules as Spark SQL, conditions for rows and queries for tables.

Silver judges row by row: a row that breaks an error rule is kept out and listed with the rules' names. Tables are
judged as a whole by `quality.checks`. Conditions read the columns of the layer they are used in, derived ones included.
"""

from __future__ import annotations

from collections.abc import Sequence

from headwater.contracts.model import Dataset, RowRule, Severity, TableRule
from headwater.contracts.rules import sql_string

TABLE = "${table}"


def broken_rules(rules: Sequence[RowRule]) -> str:
    """A Spark SQL expression: the names of those of the rules that a row breaks, `array<string>`; null breaks one."""
    cases = [f"CASE WHEN {rule.expression} THEN NULL ELSE {sql_string(rule.name)} END" for rule in rules]
    return f"array_compact(array({', '.join(cases)}))" if cases else "cast(array() AS array<string>)"


def error_rules(dataset: Dataset) -> tuple[RowRule, ...]:
    """The rules whose breach keeps a row out of silver: the contract's, and that a key is never null."""
    declared = tuple(r for r in dataset.row_rules if r.severity is Severity.ERROR)
    held = {r.column for r in declared if r.check == "required"}
    keys = (RowRule(f"{k}_required", f"`{k}` IS NOT NULL", k, check="required") for k in dataset.primary_key)
    return declared + tuple(rule for rule in keys if rule.column not in held)


def accepts(dataset: Dataset) -> str:
    """A Spark SQL condition: true for a row that breaks no error rule, false otherwise, never null."""
    conditions = [r.expression for r in dataset.row_rules if r.severity is Severity.ERROR]
    return f"coalesce({' AND '.join(conditions)}, false)" if conditions else "true"


def metric_query(rule: TableRule) -> str:
    """A Spark SQL query that gives the rule's number as its only value; `${table}` stands for the table."""
    if rule.query is not None:
        return rule.query
    if rule.metric == "rowCount":
        return f"SELECT count(*) FROM {TABLE}"
    if rule.metric == "duplicateValues":
        keys = ", ".join(rule.columns)
        filled = " AND ".join(f"{c} IS NOT NULL" for c in rule.columns)
        count = _share(rule, "coalesce(sum(n - 1), 0)", "sum(n)")
        return f"SELECT {count} FROM (SELECT count(*) AS n FROM {TABLE} WHERE {filled} GROUP BY {keys})"
    wrong = " OR ".join(f"({_wrong(rule, c)})" for c in rule.columns)
    return f"SELECT {_share(rule, f'count_if({wrong})', 'count(*)')} FROM {TABLE}"


def _share(rule: TableRule, number: str, whole: str) -> str:
    return f"coalesce(100.0 * {number} / nullif({whole}, 0), 0)" if rule.unit == "percent" else number


def _wrong(rule: TableRule, column: str) -> str:
    """The condition under which a value counts for the metric."""
    if rule.metric == "nullValues":
        return f"{column} IS NULL"
    if rule.metric == "missingValues":
        missing = [str(v) for v in _listed(rule, "missingValues") if v is not None]
        listed = f" OR CAST({column} AS string) IN ({', '.join(map(sql_string, missing))})" if missing else ""
        return f"{column} IS NULL{listed}"
    tests = []
    if valid := [str(v) for v in _listed(rule, "validValues")]:
        tests.append(f"CAST({column} AS string) NOT IN ({', '.join(map(sql_string, valid))})")
    if pattern := rule.arguments.get("pattern"):
        tests.append(f"NOT regexp_like(CAST({column} AS string), {sql_string(str(pattern))})")
    return " OR ".join(tests) or "false"


def _listed(rule: TableRule, argument: str) -> list[object]:
    value = rule.arguments.get(argument)
    return value if isinstance(value, list) else []
