"""`POST /v1/queries`: one SELECT over `gold.<dataset>` and `live.<dataset>`, answered as the asker's role."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from headwater.api.problems import Problem
from headwater.api.reading.answers import Asked
from headwater.api.reading.literals import escaped, unusable
from headwater.api.reading.reading import Reading
from headwater.api.reading.rows import limited
from headwater.api.routes.answers import JSON, RowsModel, accepted, refusals, rows_response, tabular
from headwater.api.routes.streaming import streamed
from headwater.policy.model import Role
from headwater.serving.queries import QueryRefused, in_role, judge, not_a_dataset

router = APIRouter(prefix="/v1/queries", tags=["queries"])
LONGEST = 100_000
Value = str | int | float | bool | None | list[str | int | float | bool | None]


MostRows = Annotated[int, Field(ge=1, le=100_000_000, description="Rows; JSON has at most 1000")]


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 943.0 is whole."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class QueryModel(BaseModel):
    """A question. `parameters` are bound to `{name:Type}` in the statement, never written into it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sql: Annotated[str, Field(min_length=1, max_length=LONGEST, description="One SELECT in ClickHouse SQL")]
    parameters: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")], Value],
        # Pydantic says which names are taken, and not that others are refused.
        Field(max_length=100, json_schema_extra={"additionalProperties": False}),
    ] = {}
    max_rows: Annotated[MostRows, BeforeValidator(_whole)] | None = None


@router.post(
    "", response_model=RowsModel, responses={**tabular("The rows of the answer"), **refusals(406, 409, 413, 422)}
)
def run_query(request: Request, query: Annotated[QueryModel, Body()]) -> Response:
    """Run one bounded SELECT. `truncated` says whether there was more than `max_rows`."""
    reading: Reading = request.app.state.reading
    form = accepted(request)
    with reading.call(request, "query") as asking:
        most = limited(query.max_rows, asking.caller.role.limits, paged=form == JSON)
        asked = _asked(query, asking.caller.role, most, form)
        at = reading.standpoint(asking)
        if form != JSON:
            return streamed(reading, at, asked, form)
        page, at = reading.answers.page(at, asked)
        body = rows_response(page, at.evidence(asked, truncated=page.truncated), None, at.etag(asked, form))
        asking.answered(datasets=asked.tables, rows=page.count, sql=query.sql)
        return body


def _asked(query: QueryModel, role: Role, most: int, form: str) -> Asked:
    sql, tables = _in_role(query.sql, role.name, role.database, frozenset(v.table for v in role.views.values()))
    limit = most + 1 if form == JSON else most
    bounded = f"SELECT * FROM (\n{sql}\n) LIMIT {limit}"  # noqa: S608 - judged by the parser
    return Asked(bounded, _bound(query.parameters), tables, query.sql, most)


@lru_cache(maxsize=512)
def _in_role(sql: str, role: str, database: str, seen: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """The statement over the role's own views, and its tables. Raises `Problem` (422) for what is not answered."""
    try:
        judged = judge(sql, {table.partition(".")[2] for table in seen})
        for table in judged.tables:
            if table not in seen:
                raise not_a_dataset(table)
    except QueryRefused as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "query-refused", str(error)) from None
    return in_role(judged.text, database, judged.tables), judged.tables


def _bound(parameters: dict[str, Any]) -> dict[str, str]:
    try:
        return {name: escaped(value) for name, value in parameters.items()}
    except ValueError:
        raise unusable("a parameter is no text in UTF-8") from None
