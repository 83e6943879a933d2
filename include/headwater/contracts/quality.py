"""Quality: a dataset's rules as Spark SQL conditions for rows, and as Great Expectations' expectations for tables.

Silver judges row by row (`broken_rules`): a row that breaks an error rule is kept out and listed with the rules' names.
Gold is judged as a whole on its branch (`expectations`). Conditions read the columns of the layer they are used in,
derived ones included.
"""

from __future__ import annotations

from typing import Any

from headwater.contracts.model import Dataset, RowRule, Severity, TableRule
from headwater.contracts.rules import sql_string

GX_SEVERITY = {Severity.ERROR: "critical", Severity.WARNING: "warning"}
TABLE = "${table}"


def broken_rules(dataset: Dataset, severity: Severity = Severity.ERROR) -> str:
    """A Spark SQL expression: the names of the rules of that severity that a row breaks, `array<string>`."""
    cases = [f"CASE WHEN {r.expression} THEN NULL ELSE {sql_string(r.name)} END" for r in _rules(dataset, severity)]
    return f"array_compact(array({', '.join(cases)}))" if cases else "CAST(array() AS array<string>)"


def accepts(dataset: Dataset) -> str:
    """A Spark SQL condition: true for a row that breaks no error rule, false otherwise, never null."""
    conditions = [r.expression for r in _rules(dataset, Severity.ERROR)]
    return f"coalesce({' AND '.join(conditions)}, false)" if conditions else "true"


def _rules(dataset: Dataset, severity: Severity) -> list[RowRule]:
    return [r for r in dataset.row_rules if r.severity is severity]


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


def expectations(dataset: Dataset) -> list[Any]:
    """The dataset's rules as expectations; `meta` has `rule` (its name) and `severity` (error, warning).

    Great Expectations' own check is used where it means the same, since it bundles those into one pass; else SQL.
    """
    # Imported here: it takes seconds, and those who only want conditions should not wait.
    from great_expectations import expectations as gxe

    rows = [_row_expectation(gxe, r) for r in dataset.row_rules]
    return rows + [_table_expectation(gxe, r) for r in dataset.table_rules]


def _row_expectation(gxe: Any, rule: RowRule) -> Any:
    given = _common(rule)
    match rule.check:
        case "required":
            return gxe.ExpectColumnValuesToNotBeNull(column=rule.column, **given)
        case "enum":
            return gxe.ExpectColumnValuesToBeInSet(column=rule.column, value_set=_as_list(rule.argument), **given)
        case "minimum" if isinstance(rule.argument, int):
            return gxe.ExpectColumnValuesToBeBetween(column=rule.column, min_value=rule.argument, **given)
        case "maximum" if isinstance(rule.argument, int):
            return gxe.ExpectColumnValuesToBeBetween(column=rule.column, max_value=rule.argument, **given)
        case _:
            query = f"SELECT * FROM {{batch}} WHERE NOT coalesce({_braced(rule.expression)}, false)"
            return gxe.UnexpectedRowsExpectation(unexpected_rows_query=query, **given)


def _table_expectation(gxe: Any, rule: TableRule) -> Any:
    given = _common(rule)
    none_wrong = rule.maximum == 0 and rule.minimum in (None, 0)
    if rule.metric == "rowCount":
        low, high = (None if b is None else int(b) for b in (rule.minimum, rule.maximum))
        return gxe.ExpectTableRowCountToBeBetween(min_value=low, max_value=high, **given)
    if none_wrong and rule.metric == "nullValues" and len(rule.columns) == 1:
        return gxe.ExpectColumnValuesToNotBeNull(column=rule.columns[0], **given)
    query = _braced(metric_query(rule)).replace("$" + _braced("{table}"), "{batch}")
    equal = "" if rule.exclusive else "="
    bounds = [f"value >{equal} {rule.minimum!r}"] if rule.minimum is not None else []
    bounds += [f"value <{equal} {rule.maximum!r}"] if rule.maximum is not None else []
    condition = " AND ".join(bounds) or "true"
    query = f"SELECT value FROM ({query}) AS measured(value) WHERE NOT coalesce({condition}, false)"
    return gxe.UnexpectedRowsExpectation(unexpected_rows_query=query, **given)


def _common(rule: RowRule | TableRule) -> dict[str, Any]:
    meta = {"rule": rule.name, "severity": str(rule.severity)}
    return {"meta": meta, "severity": GX_SEVERITY[rule.severity]}


def _as_list(values: object) -> list[object]:
    return list(values) if isinstance(values, list | tuple) else [values]


def _braced(text: str) -> str:
    """Great Expectations formats its queries: braces of ours must survive that."""
    return text.replace("{", "{{").replace("}", "}}")
