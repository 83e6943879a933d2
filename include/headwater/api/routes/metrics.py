"""`/v1/metrics`: figures with a name, declared in the contracts, as far as the asker's role may ask them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from headwater.api.problems import Problem
from headwater.api.reading.answers import Asked
from headwater.api.reading.literals import escaped, unusable
from headwater.api.reading.reading import Reading
from headwater.api.routes.answers import (
    JSON,
    NAME,
    ListModel,
    OpenModel,
    RowsModel,
    held,
    json_answer,
    paged,
    refusals,
    rows_response,
)
from headwater.api.routes.datasets import CursorText, Limit
from headwater.contracts.joins import dimension_column
from headwater.contracts.model import Contracts
from headwater.contracts.types import Decimal, Primitive
from headwater.policy.model import Mask
from headwater.semantics.catalogue import Offer, UnknownMetric, offer, offers
from headwater.semantics.compiling import compile_question
from headwater.semantics.question import PERIOD, BadQuestion, Filter, Grain, Operator, Question, Value
from headwater.serving.asking import Asking
from headwater.serving.queries import in_role

router = APIRouter(prefix="/v1/metrics", tags=["metrics"])
MetricName = Annotated[str, Path(pattern=NAME, description="A metric's name")]
DIMENSION = r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?"
FILTER = rf"{DIMENSION}:(eq|ne|lt|le|gt|ge|in|notin|null):[\s\S]{{0,2000}}"
_OPERATORS = {
    "eq": Operator.EQUAL, "ne": Operator.UNEQUAL, "lt": Operator.LESS, "le": Operator.AT_MOST, "gt": Operator.GREATER,
    "ge": Operator.AT_LEAST, "in": Operator.IN, "notin": Operator.NOT_IN,
}  # fmt: skip
_WHOLE = (Primitive.INT, Primitive.LONG)
_FRACTIONS = (Primitive.FLOAT, Primitive.DOUBLE)


@router.get("", response_model=ListModel, responses=refusals())
def list_metrics(request: Request, limit: Limit = 100, cursor: CursorText = "") -> Response:
    """The metrics that you may ask, with their dimensions."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "metrics") as asking:
        found = offers(reading.contracts, asking.caller.role)
        body = paged([((name,), described(one)) for name, one in found.items()], limit, cursor, ["metrics"])
        asking.answered(rows=len(body["items"]))
        return json_answer(request, body)


@router.get("/{metric}", response_model=OpenModel, responses=refusals(404))
def get_metric(request: Request, metric: MetricName) -> Response:
    """What a metric is."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "metrics") as asking:
        one = offered(reading, asking, metric)
        asking.answered(datasets=(one.metric.dataset,), rows=0)
        return json_answer(request, described(one))


@router.get("/{metric}/values", response_model=RowsModel, responses=refusals(404, 409, 422))
def get_values(
    request: Request,
    metric: MetricName,
    dimensions: Annotated[
        str, Query(pattern=f"^({DIMENSION}(,{DIMENSION})*)?$", max_length=1000, description="a,b")
    ] = "",
    grain: Annotated[Grain, Query(description="Puts the metric's time into days, weeks …")] = None,  # type: ignore[assignment]
    filter: Annotated[
        list[Annotated[str, Query(pattern=f"^{FILTER}$")]],
        Query(max_length=20, description="`<dimension or period>:<operator>:<value>`; eq ne lt le gt ge in notin null"),
    ] = [],  # noqa: B006 - never changed; None would be described as a value that may be sent
    sort: Annotated[str, Query(pattern=r"^(-?[a-z][a-z0-9_]*(,-?[a-z][a-z0-9_]*)*)?$", max_length=1000)] = "",
    limit: Limit = 100,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> Response:
    """The metric's values by dimensions and time."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "metrics") as asking:
        one = offered(reading, asking, metric)
        wanted = _names(dimensions)
        conditions = tuple(condition(reading.contracts, one, text) for text in filter)
        ask = partial(Question, (metric,), wanted, conditions, grain, _names(sort))
        asked = compiled(reading, asking, ask, limit, offset)
        at = reading.standpoint(asking)
        if (same := held(request, at, asked, JSON)) is not None:
            return same
        page, at = reading.answers.page(at, asked)
        body = rows_response(page, at.evidence(asked, truncated=page.truncated), None, at.etag(asked, JSON))
        asking.answered(datasets=asked.tables, rows=page.count, sql=asked.replay)
        return body


def compiled(reading: Reading, asking: Asking, ask: Any, limit: int, offset: int) -> Asked:
    """The question in ClickHouse's words. Raises `Problem` (404, 422)."""
    role = asking.caller.role
    try:
        further, told = (compile_question(reading.contracts, ask(n, offset), role) for n in (limit + 1, limit))
    except UnknownMetric:
        raise _unknown() from None
    except BadQuestion as error:
        raise unusable(str(error)) from None
    tables = tuple(f"gold.{dataset}" for dataset in further.datasets)
    parameters = {name: escaped(value) for name, value in further.parameters.items()}
    return Asked(in_role(further.sql, role.database, tables), parameters, tables, told.sql, limit)


def described(one: Offer) -> dict[str, Any]:
    """A metric for JSON."""
    metric = one.metric
    return {
        "name": metric.name,
        "label": metric.label,
        "description": metric.description,
        "unit": metric.unit,
        "dataset": metric.dataset,
        "time": metric.time,
        "dimensions": list(one.dimensions),
        "masked": {name: str(mask) for name, mask in one.masked.items()},
        "synonyms": list(metric.synonyms),
    }


def condition(contracts: Contracts, one: Offer, text: str) -> Filter:
    """A filter of the address. Raises `Problem` (422)."""
    dimension, operator, value = text.split(":", 2)
    if dimension != PERIOD and dimension not in one.dimensions:
        raise unusable("there is no such dimension of this metric")
    if operator == "null":
        return Filter(dimension, Operator.IS_NULL if value == "true" else Operator.IS_NOT_NULL)
    many = operator in ("in", "notin")
    values = [_typed(contracts, one, dimension, part) for part in (value.split(",") if many else [value])]
    return Filter(dimension, _OPERATORS[operator], tuple(values))


def _typed(contracts: Contracts, one: Offer, dimension: str, text: str) -> Value:
    """The text as its dimension's type; what is none stays text, and is refused with a reason."""
    if dimension == PERIOD or one.masked.get(dimension, Mask.YEAR_ONLY) is not Mask.YEAR_ONLY:
        return text
    kind = dimension_column(one.metric, dimension, contracts.datasets)[1].type
    try:
        if kind in _WHOLE:
            return int(text)
        if kind in _FRACTIONS or isinstance(kind, Decimal):
            return float(text)
    except ValueError:
        return text
    return {"true": True, "false": False}.get(text, text) if kind is Primitive.BOOLEAN else text


def _names(text: str) -> tuple[str, ...]:
    names: Sequence[str] = text.split(",") if text else ()
    return tuple(names)


def offered(reading: Reading, asking: Asking, name: str) -> Offer:
    """The metric, if the caller may ask it. Raises `Problem` (404)."""
    try:
        return offer(reading.contracts, asking.caller.role, name)
    except UnknownMetric:
        raise _unknown() from None


def _unknown() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "no-such-metric", "there is no metric of this name")
