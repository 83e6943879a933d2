"""Row rules and table rules of a dataset, from what its contract says about columns and from its `quality` section.

Row expressions are Spark SQL; all but `pattern` are read by DuckDB as well. A rule other than `required` lets null
pass, so that a row names one reason, not five.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from open_data_contract_standard.model import DataQuality, SchemaObject, SchemaProperty

from headwater.contracts.model import RowRule, Severity, TableRule
from headwater.contracts.types import Primitive, parse_type

_COMPARE = {"minimum": ">=", "maximum": "<=", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
_LENGTH = {"minLength": ">=", "maxLength": "<="}
_RULE_NAME = re.compile(r"(?<!^)(?=[A-Z])")
RELATIVE_BOUND = re.compile(r"_ingested_at\s*(?P<sign>[+-])\s*P(?:(?P<day>\d+)D|T(?:(?P<hour>\d+)H|(?P<second>\d+)S))")
"""A bound in a timestamp's `minimum` or `maximum` that moves with the time of arrival: `_ingested_at + P1D`.

Not with the clock: a rebuild of silver a year later must judge the same row in the same way.
"""

SUPPORTED_OPTIONS = {*_COMPARE, *_LENGTH, "pattern", "multipleOf"}
"""The `logicalTypeOptions` that become row rules; a contract that uses another is refused."""


def sql_string(text: str) -> str:
    """A Spark SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def column_rules(column: SchemaProperty) -> Iterator[RowRule]:
    """Row rules of one column, from `required`, `enum`, `logicalTypeOptions` and its type."""
    name = str(column.name)
    if column.required:
        yield RowRule(f"{name}_required", f"{name} IS NOT NULL", name, check="required")
    if str(column.physicalType) in (Primitive.FLOAT, Primitive.DOUBLE):
        yield _nullable(name, "number", f"NOT isnan({name})")
    if column.enum:
        values = tuple(str(v.value) for v in column.enum)
        yield _nullable(name, "enum", f"{name} IN ({', '.join(map(sql_string, values))})")
    for option, bound in (column.logicalTypeOptions or {}).items():
        if option in _COMPARE:
            yield _nullable(name, option, f"{name} {_COMPARE[option]} {_bound(column, bound)}")
        elif option in _LENGTH:
            yield _nullable(name, option, f"length({name}) {_LENGTH[option]} {bound}")
        elif option == "pattern":
            yield _nullable(name, option, f"regexp_like({name}, {sql_string(str(bound))})")
        elif option == "multipleOf":
            yield _nullable(name, option, f"{name} % {bound} = 0")


def custom_row_rules(checks: list[DataQuality] | None, column: str | None = None) -> Iterator[RowRule]:
    """Row rules of a `quality` list: `type: custom`, `engine: headwater`, `implementation` a SQL condition."""
    for check in checks or []:
        if check.type == "custom":
            yield RowRule(str(check.name), f"({check.implementation})", column, _severity(check))


def _nullable(column: str, check: str, condition: str) -> RowRule:
    name = f"{column}_{_RULE_NAME.sub('_', check).lower()}"
    return RowRule(name, f"({column} IS NULL OR {condition})", column, check=check)


def _bound(column: SchemaProperty, bound: object) -> str:
    kind = parse_type(str(column.physicalType))
    if kind not in (Primitive.DATE, Primitive.TIMESTAMP):
        return str(bound)
    if match := RELATIVE_BOUND.fullmatch(str(bound)):
        unit, amount = next((unit.upper(), match[unit]) for unit in ("day", "hour", "second") if match[unit])
        return f"_ingested_at {match['sign']} INTERVAL {amount} {unit}"
    if kind is Primitive.DATE:
        return f"DATE '{bound}'"
    return f"TIMESTAMP '{str(bound).replace('T', ' ')}'"


def implied_table_rules(schema: SchemaObject, key: tuple[str, ...], is_model: bool) -> Iterator[TableRule]:
    """Uniqueness of the key and of `unique` columns; for gold also that every reference leads somewhere."""
    if key:
        yield TableRule("primary_key_unique", "duplicateValues", key, maximum=0)
    for column in schema.properties or []:
        if column.unique and key != (column.name,):
            yield TableRule(f"{column.name}_unique", "duplicateValues", (str(column.name),), maximum=0)
        for relationship in column.relationships or []:
            if is_model:
                yield _orphans(str(column.name), str(relationship.to))


def _orphans(column: str, target: str) -> TableRule:
    table, key = target.split(".")
    query = (
        f"SELECT count(*) FROM ${{table}} t LEFT ANTI JOIN gold.{table} r ON t.{column} = r.{key} "
        f"WHERE t.{column} IS NOT NULL"
    )
    by_rows = {"scope": "rows"}  # new rows can be judged without the others
    return TableRule(f"{column}_refers_to_{table}", "sql", (column,), maximum=0, query=query, arguments=by_rows)


def table_rules(checks: list[DataQuality] | None, column: str | None = None) -> Iterator[TableRule]:
    """Table rules of a `quality` list: the metrics of the standard, and `type: sql`."""
    for check in checks or []:
        if check.type == "sql":
            query = str(check.query).replace("${column}", column or "")
            metric, columns = "sql", (column,) if column else ()
        elif check.metric:
            query, metric = None, check.metric
            listed = (check.arguments or {}).get("properties", ())
            columns = (column,) if column else tuple(listed)
        else:
            continue
        low, high, exclusive = _bounds(check, whole_numbers=metric != "sql" and check.unit != "percent")
        name = check.name or "_".join(filter(None, (column, _RULE_NAME.sub("_", metric).lower())))
        arguments = {k: v for k, v in (check.arguments or {}).items() if k != "properties"}
        unit, severity = check.unit or "rows", _severity(check)
        yield TableRule(name, metric, columns, low, high, unit, query, arguments, severity, exclusive)


def _bounds(check: DataQuality, whole_numbers: bool) -> tuple[float | None, float | None, bool]:
    """Bounds of a check's operator, and whether they are excluded; of whole numbers the next one is included."""
    if check.mustBe is not None:
        return float(check.mustBe), float(check.mustBe), False
    if check.mustBeBetween:
        return float(check.mustBeBetween[0]), float(check.mustBeBetween[1]), False
    above, below = check.mustBeGreaterThan, check.mustBeLessThan
    if above is None and below is None:
        return check.mustBeGreaterOrEqualTo, check.mustBeLessOrEqualTo, False
    if not whole_numbers:
        return above, below, True
    low = None if above is None else math.floor(above) + 1
    return low, None if below is None else math.ceil(below) - 1, False


def _severity(check: DataQuality) -> Severity:
    return Severity(check.severity or Severity.ERROR)
