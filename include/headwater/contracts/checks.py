"""The platform's own rules on what a contract demands of the data: options, quality checks, SQL expressions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlglot
from sqlglot import expressions as exp

from headwater.contracts.conventions import Errors, column_names, kind_of, schema_of, severity_is_known
from headwater.contracts.document import Document, NodePath
from headwater.contracts.layers import PROVENANCE
from headwater.contracts.metrics import PROPERTY, metric_errors
from headwater.contracts.model import Answer, Kind
from headwater.contracts.rules import RELATIVE_BOUND, SUPPORTED_OPTIONS
from headwater.contracts.standard import columns
from headwater.errors import ContractError

CUSTOM_ENGINE = "headwater"
_ARGUMENTS = {
    "nullValues": set[str](),
    "missingValues": {"missingValues"},
    "invalidValues": {"validValues", "pattern"},
    "duplicateValues": {"properties"},
    "rowCount": set[str](),
}
"""Arguments of the standard's metrics that are understood."""

_UNSUPPORTED_OPERATORS = ("mustNotBe", "mustNotBeBetween")


def check_errors(document: Document) -> list[ContractError]:
    """What is wrong with options, checks and expressions, by line; empty where nothing."""
    found = [*_options(document), *_enums(document), *_expressions(document), *_quality(document)]
    return [*found, *_serving(document)]


def _serving(document: Document) -> Errors:
    """How the dataset is asked: its metrics, and what becomes of a question to stale or failing data."""
    types = {column["name"]: column["logicalType"] for _, column in columns(document)}
    for i, item in enumerate(schema_of(document).get("customProperties") or []):
        at: NodePath = ("schema", 0, "customProperties", i, "value")
        if item["property"] == PROPERTY:
            yield from metric_errors(document, at, item["value"], types)
        elif item["property"] == "answerWhen":
            for state, answer in item["value"].items():
                if state not in ("stale", "failing") or answer not in set(Answer):
                    remedy = "stale and failing are warn or refuse"
                    yield document.error((*at, state), f"answerWhen: '{state}: {answer}'", remedy)


def _options(document: Document) -> Errors:
    for at, column in columns(document):
        for option, bound in (column.get("logicalTypeOptions") or {}).items():
            place: NodePath = (*at, "logicalTypeOptions", option)
            if option not in SUPPORTED_OPTIONS:
                remedy = f"the platform checks {', '.join(sorted(SUPPORTED_OPTIONS))}"
                yield document.error(place, f"option '{option}' would be ignored", remedy)
            elif column["logicalType"] in ("date", "timestamp") and not _is_instant(str(bound), column["logicalType"]):
                remedy = "a date as 2000-01-01, a timestamp as 2000-01-01T00:00:00Z, or `_ingested_at + P1D`"
                yield document.error(place, f"'{bound}' is no bound for a {column['logicalType']}", remedy)


def _is_instant(text: str, logical_type: str) -> bool:
    if RELATIVE_BOUND.fullmatch(text):
        return True
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10 if logical_type == "date" else moment.tzinfo is not None


def _enums(document: Document) -> Errors:
    for at, column in columns(document):
        if column.get("enum") and column["logicalType"] != "string":
            yield document.error((*at, "enum"), "an enum of a column that is no string", "use minimum and maximum")


def _expressions(document: Document) -> Errors:
    names = _known_columns(document)
    for at, column in columns(document):
        if logic := column.get("transformLogic"):
            yield from _expression(document, (*at, "transformLogic"), logic, names)
        for source in column.get("transformSourceObjects") or []:
            if "." not in source and source not in names:
                what = f"transformSourceObjects: there is no column '{source}'"
                yield document.error((*at, "transformSourceObjects"), what, "name a column here, or <dataset>.<column>")


def _known_columns(document: Document) -> set[str]:
    provenance = () if kind_of(document) is Kind.MODEL else PROVENANCE[kind_of(document)]
    return column_names(document) | {c.name for c in provenance}


def _expression(document: Document, at: NodePath, text: str, names: Iterable[str]) -> Errors:
    """One SQL expression: it parses, is no query, and reads only columns that are there."""
    try:
        tree = sqlglot.parse_one(text, read="spark")
    except sqlglot.errors.SqlglotError as error:
        problem = str(error).splitlines()[0]
        yield document.error(at, f"not a SQL expression: {problem}", "write an expression of Spark SQL")
        return
    if tree.find(exp.Query, exp.Command, exp.DDL) is not None:
        yield document.error(at, "a query where an expression belongs", "use a check of `type: sql`")
    for found in tree.find_all(exp.Column):
        if found.name not in names:
            yield document.error(at, f"there is no column '{found.name}'", "name a column of the dataset")


def _quality(document: Document) -> Errors:
    schema = schema_of(document)
    names: set[str] = set()
    places: list[tuple[NodePath, dict[str, Any], str | None]] = [(("schema", 0), schema, None)]
    places += [(at, column, column["name"]) for at, column in columns(document)]
    for at, holder, column in places:
        for i, check in enumerate(holder.get("quality") or []):
            place: NodePath = (*at, "quality", i)
            yield from _check(document, place, check, column)
            name = check.get("name")
            if name and name in names:
                yield document.error(place, f"two checks are named '{name}'", "rename one: results are kept by name")
            names.add(name)


def _check(document: Document, at: NodePath, check: dict[str, Any], column: str | None) -> Errors:
    kind = check.get("type", "library")
    if not severity_is_known(check):
        yield document.error(at, f"unknown severity '{check['severity']}'", "error or warning")
    for operator in _UNSUPPORTED_OPERATORS:
        if operator in check:
            yield document.error((*at, operator), f"{operator} is not supported", "state what must be")
    if "mustBe" in check and type(check["mustBe"]) not in (int, float):
        yield document.error((*at, "mustBe"), f"mustBe '{check['mustBe']}' is no number", "give the number to be met")
    if kind in ("sql", "custom") and not check.get("name"):
        yield document.error(at, f"a check of type {kind} has no name", "name it: results are kept by name")
    if kind == "custom":
        yield from _custom(document, at, check)
    elif kind == "library":
        yield from _library(document, at, check, column)
    elif kind == "sql" and "${table}" not in check["query"]:
        yield document.error((*at, "query"), "the query does not read ${table}", "write FROM ${table}")


def _custom(document: Document, at: NodePath, check: dict[str, Any]) -> Errors:
    if check["engine"] != CUSTOM_ENGINE or not isinstance(check["implementation"], str):
        remedy = f"`engine: {CUSTOM_ENGINE}` with a SQL condition as `implementation`"
        yield document.error((*at, "engine"), f"a custom check for engine '{check['engine']}'", remedy)
        return
    yield from _expression(document, (*at, "implementation"), check["implementation"], _known_columns(document))


def _library(document: Document, at: NodePath, check: dict[str, Any], column: str | None) -> Errors:
    metric, arguments = check.get("metric"), check.get("arguments") or {}
    if metric is None:
        yield document.error(at, "the check has no metric", f"one of {', '.join(_ARGUMENTS)}")
        return
    for name in set(arguments) - _ARGUMENTS[metric]:
        known = ", ".join(_ARGUMENTS[metric]) or "none"
        yield document.error((*at, "arguments", name), f"unknown argument '{name}' of {metric}", f"known: {known}")
    if metric == "rowCount":
        if column:
            yield document.error(at, "rowCount of a column", "move the check to the dataset's `quality`")
    elif column is None and not arguments.get("properties"):
        yield document.error(at, f"{metric} of which columns?", "move it to a column, or give arguments.properties")
    for name in arguments.get("properties") or []:
        if name not in _known_columns(document):
            yield document.error(at, f"there is no column '{name}'", "name a column of the dataset")
