"""`POST /graphql`: the same datasets, rows and metrics as REST, under the same scopes, policy and audit.

A question nests at most six levels deep, and costs at most 10,000: one for each field, times what the lists above it
may hold, and for rows as many as were asked for. What is too dear is refused before anything is read.

A request is a call of its own, decided and on record before its text is looked at; each field that reads is another.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Annotated, Any

import strawberry
from fastapi import APIRouter, Body
from graphql import GraphQLError
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from strawberry.extensions import MaxAliasesLimiter, MaxTokensLimiter

from headwater.api.graphql_cost import MOST_SELECTIONS, Bounds
from headwater.api.graphql_types import Asked, Query
from headwater.api.problems import Problem, json_response
from headwater.api.reading.reading import Reading
from headwater.api.refusing import problem_of
from headwater.api.routes.answers import OpenModel, refusals

log = logging.getLogger(__name__)

LONGEST = 20_000
SCHEMA = strawberry.Schema(
    query=Query,
    extensions=[
        lambda: MaxTokensLimiter(max_token_count=MOST_SELECTIONS),
        Bounds,
        lambda: MaxAliasesLimiter(max_alias_count=20),
    ],
)
router = APIRouter(tags=["graphql"])


class GraphQLModel(BaseModel):
    """A question in GraphQL."""

    model_config = ConfigDict(extra="ignore")

    query: Annotated[str, Field(min_length=1, max_length=LONGEST)]
    variables: dict[str, Any] | None = None
    operationName: Annotated[str | None, Field(max_length=200)] = None  # noqa: N815 - GraphQL's name


@router.post("/graphql", response_model=OpenModel, responses=refusals(413))
def ask_graphql(request: Request, question: Annotated[GraphQLModel, Body()]) -> Response:
    """One operation; faults are in `errors`, as GraphQL has them, each with the kind of problem it is."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "graphql"):
        pass  # the fields' own calls follow, so that none waits for this one
    asked = Asked(reading, request)
    found = SCHEMA.execute_sync(
        question.query,
        variable_values=question.variables,
        context_value=asked,
        operation_name=question.operationName,
    )
    body: dict[str, Any] = {"data": found.data}
    if found.errors:
        body["errors"] = [_told(error) for error in found.errors]
    return json_response(body, HTTPStatus.OK, {"Cache-Control": "private, no-store"})


def _told(error: GraphQLError) -> dict[str, Any]:
    told: dict[str, Any] = dict(error.formatted)
    if error.original_error is not None:
        problem: Problem = problem_of(error.original_error)
        told["message"] = problem.detail
        told["extensions"] = {"kind": problem.kind, "status": int(problem.status)}
    return told
