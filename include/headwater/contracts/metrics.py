"""Metrics in a gold contract: the custom property `metrics`, what is wrong with it, and the plain values it becomes.

A metric is a measure (an aggregate over the dataset's columns) or a ratio of two measures, with the dimensions it may
be asked by. `headwater.semantics` compiles it; here no engine is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonschema
import sqlglot
from sqlglot import expressions as exp

from headwater.contracts.document import Document, NodePath
from headwater.errors import ContractError

PROPERTY = "metrics"
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
AGGREGATES = (exp.Sum, exp.Count, exp.Min, exp.Max)
_ALLOWED = (
    *AGGREGATES, exp.Distinct, exp.Star, exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Neg,
    exp.Add, exp.Sub, exp.Mul, exp.Paren, exp.Case, exp.If, exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT,
    exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In, exp.Is,
)  # fmt: skip
REMEDY = "docs/reference/contract.md has the keys of a metric"


@dataclass(frozen=True, slots=True)
class Ratio:
    """One measure of the dataset by another, by their names."""

    of: str
    to: str


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure with a name. It has an `expression` (standard SQL over columns of `dataset`) or a `ratio`.

    `dimensions` are columns of the dataset, or `<dataset>.<column>` of one that a column here refers to. `time` is the
    column by which it is put into days, weeks, months.
    """

    name: str
    dataset: str
    label: str
    description: str
    unit: str
    dimensions: tuple[str, ...] = ()
    expression: str = ""
    ratio: Ratio | None = None
    time: str | None = None
    decimals: int | None = None  # of a ratio
    synonyms: tuple[str, ...] = ()


_TEXT = {"type": "string", "minLength": 1}
_NAMES = {"type": "array", "items": _TEXT, "uniqueItems": True}
_SHAPE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "label", "description", "unit"],
    "properties": {
        "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
        "label": _TEXT,
        "description": _TEXT,
        "unit": _TEXT,
        "expression": _TEXT,
        "ratio": {
            "type": "object",
            "additionalProperties": False,
            "required": ["of", "to"],
            "properties": {"of": _TEXT, "to": _TEXT},
        },
        "decimals": {"type": "integer", "minimum": 0, "maximum": 6},
        "time": _TEXT,
        "dimensions": _NAMES,
        "synonyms": _NAMES,
    },
    "oneOf": [{"required": ["expression"]}, {"required": ["ratio"]}],
}
_VALIDATOR = jsonschema.Draft202012Validator(_SHAPE)


def metrics_of(dataset: str, declared: list[Mapping[str, Any]]) -> tuple[Metric, ...]:
    """The metrics of a contract that was judged."""
    return tuple(_metric(dataset, given) for given in declared)


def _metric(dataset: str, given: Mapping[str, Any]) -> Metric:
    ratio = Ratio(**given["ratio"]) if "ratio" in given else None
    lists = {key: tuple(given.get(key, ())) for key in ("dimensions", "synonyms")}
    decimals = given.get("decimals", 2 if ratio else None)
    return Metric(**{**given, **lists, "dataset": dataset, "ratio": ratio, "decimals": decimals})


@lru_cache(maxsize=1024)
def parsed(expression: str) -> exp.Expr:
    """The expression of a measure, judged; copy it before you change it.

    Raises `ContractError` with what is wrong and the remedy, without place.
    """
    try:
        tree = sqlglot.parse_one(expression)
    except sqlglot.errors.SqlglotError as error:
        raise ContractError(
            f"not an expression of SQL: {str(error).splitlines()[0]}", remedy="sum(<column>)"
        ) from error
    for node in tree.walk():
        if isinstance(node, exp.Div):
            raise ContractError("a measure does not divide", remedy="declare two measures and their `ratio`")
        if not isinstance(node, _ALLOWED) or node.args.get("query"):
            what = f"{type(node).__name__} may not stand in a measure: {node.sql()}"
            raise ContractError(what, remedy="use sum, count, min, max, DISTINCT, CASE, comparisons, +, - and *")
    for leaf in tree.find_all(exp.Column, exp.Star):
        if leaf.find_ancestor(*AGGREGATES) is None:
            raise ContractError(f"'{leaf.sql()}' is not aggregated", remedy=f"write sum({leaf.sql()})")
    if tree.find(*AGGREGATES) is None:
        raise ContractError("a measure aggregates", remedy="write sum, count, min or max")
    for call in tree.find_all(*AGGREGATES):
        if call.parent is not None and call.find_ancestor(*AGGREGATES) is not None:
            raise ContractError(f"{call.sql()} stands in another aggregate", remedy="aggregate once")
    return tree


def metric_errors(document: Document, place: NodePath, declared: list[Any], types: Mapping[str, str]) -> Iterator[Any]:
    """What is wrong with the metrics at `place`; `types` are the logical types of the dataset's columns."""
    measures: set[str] = set()
    seen: set[str] = set()
    for i, given in enumerate(declared):
        at: NodePath = (*place, i)
        faults = list(_shape_errors(document, at, given))
        yield from faults
        if faults:
            continue
        if given["name"] in seen:
            yield document.error((*at, "name"), f"two metrics are named '{given['name']}'", "rename one")
        seen.add(given["name"])
        if "expression" in given:
            measures.add(given["name"])
            yield from _expression_errors(document, (*at, "expression"), given["expression"], types)
        yield from _column_errors(document, at, given, types)
    for i, given in enumerate(declared):
        for part, name in (given.get("ratio") or {}).items() if isinstance(given, dict) else ():
            if name not in measures:
                remedy = f"measures here are: {', '.join(sorted(measures)) or 'none'}"
                yield document.error((*place, i, "ratio", part), f"there is no measure '{name}'", remedy)


def _shape_errors(document: Document, at: NodePath, given: Any) -> Iterator[ContractError]:
    for error in _VALIDATOR.iter_errors(given):
        place: NodePath = (*at, *error.absolute_path)
        if error.validator == "oneOf":
            yield document.error(at, "a metric has an expression or a ratio, and not both", REMEDY)
        elif error.validator == "additionalProperties":
            known = error.schema["properties"]
            for key in set(error.instance) - set(known):
                yield document.error((*place, key), f"unknown key of a metric: {key}", f"known are: {', '.join(known)}")
        else:
            yield document.error(place, error.message, REMEDY)


def _expression_errors(
    document: Document, at: NodePath, text: str, types: Mapping[str, str]
) -> Iterator[ContractError]:
    try:
        tree = parsed(text)
    except ContractError as error:
        yield document.error(at, error.what, error.remedy)
        return
    for column in tree.find_all(exp.Column):
        if column.table or column.name not in types:
            yield document.error(at, f"there is no column '{column.sql()}'", "name a column of the dataset")


def _column_errors(
    document: Document, at: NodePath, given: Mapping[str, Any], types: Mapping[str, str]
) -> Iterator[ContractError]:
    if "time" in given and types.get(given["time"]) not in ("date", "timestamp"):
        yield document.error((*at, "time"), f"'{given['time']}' is no date or timestamp of the dataset", "name one")
    for j, name in enumerate(given.get("dimensions", ())):
        if "." not in name and name not in types:
            yield document.error((*at, "dimensions", j), f"there is no column '{name}'", "name a column of the dataset")
        elif name == given.get("time"):
            yield document.error((*at, "dimensions", j), f"'{name}' is the metric's time already", "leave it out")
