"""From a question to ClickHouse SQL: one SELECT over `gold.<dataset>`, the same text for the same question.

Values are parameters of the statement, never text in it. Money is never divided in floats, a ratio's decimals are
exact and rounded half up, and a ratio by nothing is null. The names `gold.…` stand for the role's views; whoever runs
the statement exchanges them, so the policy holds as for any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlglot import expressions as exp

from headwater.contracts.clickhouse import column_type
from headwater.contracts.joins import dimension_column, join_column
from headwater.contracts.metrics import Metric, parsed
from headwater.contracts.model import Column, Contracts, Dataset
from headwater.contracts.types import DataType, Decimal, Primitive
from headwater.policy.model import Mask, Role
from headwater.semantics.catalogue import Offer, UnknownMetric, measures, metrics_of, offer
from headwater.semantics.question import PERIOD, BadQuestion, Filter, Grain, Operator, Question, Value

DIALECT = "clickhouse"
FACT = "t"
_GRAINS = {
    Grain.DAY: "toDate({})",
    Grain.WEEK: "toMonday({})",
    Grain.MONTH: "toStartOfMonth({})",
    Grain.QUARTER: "toStartOfQuarter({})",
    Grain.YEAR: "toStartOfYear({})",
}
_DIGITS = 12
"""Decimals of a quotient before it is rounded."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The statement, its parameters (`{p0:Type}`), the answer's columns in order, and the datasets it reads."""

    sql: str
    parameters: Mapping[str, Value | list[Value]]
    columns: tuple[str, ...]
    metrics: tuple[Metric, ...]
    datasets: tuple[str, ...]


@dataclass(slots=True)
class _Parts:
    """What the statement is put together from."""

    contracts: Contracts
    role: Role | None
    dataset: Dataset
    names: dict[str, str] = field(default_factory=dict)  # dimension → name in the answer
    joined: dict[str, str] = field(default_factory=dict)  # dataset → JOIN
    parameters: dict[str, Value | list[Value]] = field(default_factory=dict)


def compile_question(contracts: Contracts, question: Question, role: Role | None = None) -> Compiled:
    """The SELECT that answers. With a `role` only what it may ask; raises `UnknownMetric`, `BadQuestion`."""
    offered = [_offered(contracts, role, name) for name in question.metrics]
    metrics = tuple(one.metric for one in offered)
    datasets = {metric.dataset for metric in metrics}
    if len(datasets) > 1:
        raise BadQuestion(
            f"{', '.join(question.metrics)} are of {', '.join(sorted(datasets))}",
            remedy="ask metrics of one dataset together, and the others by themselves",
        )
    parts = _Parts(contracts, role, contracts.get(metrics[0].dataset))
    parts.names = _names(question, offered, parts.dataset)
    time = _time(metrics, question)
    groups = {PERIOD: _GRAINS[question.grain].format(f"{FACT}.{time}")} if question.grain else {}
    groups |= {parts.names[name]: _place(parts, metrics[0], name)[0] for name in question.dimensions}
    figures = {metric.name: _figure(contracts, metric) for metric in metrics}
    where = [_condition(parts, metrics[0], offered, condition, time) for condition in question.filters]
    columns = {**groups, **figures}
    lines = ["SELECT", ",\n".join(f"    {sql} AS {name}" for name, sql in columns.items())]
    lines += [f"FROM gold.{parts.dataset.name} AS {FACT}", *parts.joined.values()]
    lines += ["WHERE " + "\n    AND ".join(where)] if where else []
    lines += ["GROUP BY " + ", ".join(groups.values())] if groups else []
    if groups:
        lines.append("ORDER BY " + ", ".join(_order(question, tuple(groups), tuple(figures))))
    lines.append(f"LIMIT {question.limit}" + (f" OFFSET {question.offset}" if question.offset else ""))
    read = (parts.dataset.name, *sorted(parts.joined))
    return Compiled("\n".join(lines), parts.parameters, tuple(columns), metrics, read)


def _offered(contracts: Contracts, role: Role | None, name: str) -> Offer:
    if role is not None:
        return offer(contracts, role, name)
    metric = metrics_of(contracts).get(name)
    if metric is None:
        raise UnknownMetric(f"there is no metric '{name}'", remedy="`headwater metric list` shows them")
    return Offer(metric, metric.dimensions, {})


def _time(metrics: tuple[Metric, ...], question: Question) -> str:
    """The one date column of the metrics; '' where nobody asks for it."""
    asked = question.grain or any(condition.dimension == PERIOD for condition in question.filters)
    times = {metric.time for metric in metrics}
    if not asked:
        return ""
    if len(times) != 1 or (time := times.pop()) is None:
        raise BadQuestion(f"{', '.join(question.metrics)} has no one time", remedy="ask without grain and `period`")
    return time


def _names(question: Question, offered: list[Offer], dataset: Dataset) -> dict[str, str]:
    """How the answer names each dimension: its column, with its dataset in front where two are alike."""
    asked = [*question.dimensions, *(f.dimension for f in question.filters if f.dimension != PERIOD)]
    for name in asked:
        for one in offered:
            if name not in one.dimensions:
                known = ", ".join(one.dimensions) or "none"
                raise BadQuestion(f"{one.metric.name} is not asked by '{name}'", remedy=f"its dimensions are: {known}")
    short = [name.rpartition(".")[2] for name in question.dimensions]
    taken = {PERIOD, *question.metrics}
    return {
        name: name.replace(".", "_") if short.count(bare) > 1 or bare in taken else bare
        for name, bare in zip(question.dimensions, short, strict=True)
    }


def _place(parts: _Parts, metric: Metric, dimension: str) -> tuple[str, Dataset, Column]:
    """Where a dimension is read; its dataset is joined at the first use."""
    where, column = dimension_column(metric, dimension, parts.contracts.datasets)
    if where.name == parts.dataset.name:
        return f"{FACT}.{column.name}", where, column
    own, key = join_column(parts.dataset, where)
    parts.joined[where.name] = (
        f"LEFT JOIN gold.{where.name} AS {where.name} ON {where.name}.{key.name} = {FACT}.{own.name}"
    )
    return f"{where.name}.{column.name}", where, column


def _figure(contracts: Contracts, metric: Metric) -> str:
    if metric.ratio is None:
        return _measure(metric)
    of, to = (_measure(measure) for measure in measures(contracts, metric))
    if metric.unit == "percent":
        of = f"100 * ({of})"
    by = f"nullIf(toDecimal256({to}, 6), 0)"
    # divideDecimal divides in the rows of a null, too, and fails there by the zero that stands below it.
    divided = f"divideDecimal(toDecimal256({of}, 6), ifNull({by}, 1), {_DIGITS})"
    return f"round(if({by} IS NULL, NULL, {divided}), {metric.decimals})"


def _measure(metric: Metric) -> str:
    tree = parsed(metric.expression).copy()
    for column in tree.find_all(exp.Column):
        column.set("table", exp.to_identifier(FACT))
    return tree.sql(dialect=DIALECT)


def _condition(parts: _Parts, metric: Metric, offered: list[Offer], condition: Filter, time: str) -> str:
    if condition.dimension == PERIOD:
        column, place = parts.dataset.column(time), f"{FACT}.{time}"
        if column.type is Primitive.TIMESTAMP:
            place = f"toDate({place})"
        kind: DataType = Primitive.DATE
    else:
        place, _, column = _place(parts, metric, condition.dimension)
        kind = column.type
        if condition.dimension in offered[0].masked and offered[0].masked[condition.dimension] is not Mask.YEAR_ONLY:
            kind = Primitive.STRING
    if condition.operator in (Operator.IS_NULL, Operator.IS_NOT_NULL):
        return f"{place} {condition.operator.upper()}"
    values = [_value(condition.dimension, kind, value) for value in condition.values]
    name, engine_type = f"p{len(parts.parameters)}", column_type(kind)
    if condition.operator in (Operator.IN, Operator.NOT_IN):
        parts.parameters[name] = values
        given = f"has({{{name}:Array({engine_type})}}, {place})"
        return given if condition.operator is Operator.IN else f"NOT {given}"
    parts.parameters[name] = values[0]
    return f"{place} {condition.operator} {{{name}:{engine_type}}}"


def _value(dimension: str, kind: DataType, value: Value) -> Value:
    """The value, if it is of the dimension's type. Raises `BadQuestion`."""
    try:
        match kind:
            case Primitive.INT | Primitive.LONG if type(value) is int:
                return value
            case Primitive.BOOLEAN if type(value) is bool:
                return value
            case Primitive.FLOAT | Primitive.DOUBLE | Decimal() if type(value) in (int, float):
                return value
            case Primitive.DATE if isinstance(value, str):
                return date.fromisoformat(value).isoformat()
            case Primitive.TIMESTAMP if isinstance(value, str):
                return datetime.fromisoformat(value).replace(tzinfo=None).isoformat(sep=" ")
            case Primitive.STRING | Primitive.UUID if isinstance(value, str):
                return value
    except ValueError:
        pass
    raise BadQuestion(f"'{value}' is no {kind} as {dimension} is", remedy="give a value of that type")


def _order(question: Question, groups: tuple[str, ...], figures: tuple[str, ...]) -> list[str]:
    """The order asked for, then the groups, so that rows of equal figures keep their places from page to page."""
    asked = {}
    for name in question.order:
        bare = name.removeprefix("-")
        if bare not in (*groups, *figures):
            raise BadQuestion(f"there is no column '{bare}' to order by", remedy=f"{', '.join((*groups, *figures))}")
        asked[bare] = f"{bare} DESC" if name.startswith("-") else bare
    return [*asked.values(), *(name for name in groups if name not in asked)]
