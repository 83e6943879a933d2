"""`/v1/datasets`: which there are, what one is, its rows."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from headwater.api.reading import cursor as cursors
from headwater.api.reading import selection
from headwater.api.reading.answers import MOST_ROWS, Standpoint
from headwater.api.reading.reading import Reading
from headwater.api.reading.rows import Wanted, prepared
from headwater.api.routes.answers import (
    JSON,
    NAME,
    ListModel,
    OpenModel,
    RowsModel,
    accepted,
    held,
    json_answer,
    paged,
    refusals,
    rows_response,
    tabular,
)
from headwater.api.routes.streaming import streamed
from headwater.contracts.model import Dataset
from headwater.serving.asking import Asking

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
Name = Annotated[str, Path(pattern=NAME, description="A dataset's name")]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="Items of one page")]
MostRows = Annotated[int, Query(ge=1, le=100_000_000, description="Rows; JSON has at most 1000")]
"""Without `| None`, which would be described as a value that may be sent; None is the default all the same."""

CursorText = Annotated[str, Query(max_length=cursors.LONGEST, description="`next` of the page before")]


@router.get("", response_model=ListModel, responses=refusals())
def list_datasets(
    request: Request,
    domain: Annotated[str, Query(max_length=128, description="Only of this domain")] = "",
    limit: Limit = 100,
    cursor: CursorText = "",
) -> Response:
    """The datasets that you may know of, by name."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "datasets") as asking:
        known = [d for _, d in sorted(reading.contracts.datasets.items()) if reading.knows(asking.caller, d)]
        items = [((d.name,), _summary(d, asking)) for d in known if domain in ("", d.domain)]
        body = paged(items, limit, cursor, ["datasets", domain])
        asking.answered(rows=len(body["items"]))
        return json_answer(request, body)


@router.get("/{dataset}", response_model=OpenModel, responses=refusals(404))
def get_dataset(request: Request, dataset: Name) -> Response:
    """What a dataset is: columns as you see them, key, owner, rules, what the warehouse shows of it."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "datasets") as asking:
        declared = reading.dataset(dataset, asking.caller)
        body = _summary(declared, asking) | _details(reading, declared, asking)
        asking.answered(datasets=(declared.name,), rows=0)
        return json_answer(request, body)


@router.get(
    "/{dataset}/rows",
    response_model=RowsModel,
    responses={**tabular("Rows as you may see them"), **refusals(404, 406, 409, 422)},
)
def get_rows(
    request: Request,
    dataset: Name,
    columns: Annotated[str, Query(pattern=f"^({selection.COLUMNS})?$", max_length=4000, description="a,b,c")] = "",
    filter: Annotated[
        list[Annotated[str, Query(pattern=f"^{selection.FILTER}$")]],
        Query(
            max_length=selection.MOST_FILTERS,
            description="`<column>:<operator>:<value>`, all of which hold; eq ne lt le gt ge in null contains prefix",
        ),
    ] = [],  # noqa: B006 - never changed; None would be described as a value that may be sent
    sort: Annotated[
        str, Query(pattern=f"^({selection.SORT})?$", max_length=1000, description="a,-b: by a, then b falling")
    ] = "",
    limit: MostRows = None,  # type: ignore[assignment]
    cursor: CursorText = "",
) -> Response:
    """Rows of a dataset, masked and filtered as the policy says; JSON by the page, CSV and Arrow in one stream."""
    reading: Reading = request.app.state.reading
    form = accepted(request)
    with reading.call(request, "rows") as asking:
        wanted = Wanted(dataset, columns, filter, sort, limit, cursor)
        found = prepared(reading, asking, wanted, paged=form == JSON)
        at, asked = found.at, found.asked
        if (same := held(request, at, asked, form)) is not None:
            return same
        if form != JSON:
            return streamed(reading, at, asked, form)
        page, at = reading.answers.page(at, asked)
        found = replace(found, at=at)
        body = rows_response(
            page,
            at.evidence(asked, truncated=page.truncated),
            found.following(page),
            at.etag(asked, form),
            same_snapshot=found.same_snapshot,
        )
        asking.answered(datasets=asked.tables, rows=page.count, sql=asked.replay)
        return body


def _summary(dataset: Dataset, asking: Asking) -> dict[str, Any]:
    view = asking.caller.role.views.get(dataset.name)
    return {
        "name": dataset.name,
        "label": dataset.business_name or dataset.name,
        "description": " ".join(dataset.description.split()),
        "domain": dataset.domain,
        "kind": str(dataset.kind),
        "owner": dataset.owner,
        "version": dataset.version,
        "tags": list(dataset.tags),
        "table": view.table if view else None,
    }


def _details(reading: Reading, dataset: Dataset, asking: Asking) -> dict[str, Any]:
    view = asking.caller.role.views.get(dataset.name)
    shape = reading.shape(dataset.name, asking) if view else None
    columns = [
        {
            "name": column.name,
            "type": str(column.type),
            "description": column.description,
            "classification": column.classification,
            "shown_as": str(view.masks[column.name]) if view and column.name in view.masks else None,
            "references": column.references,
        }
        for column in dataset.columns
    ]
    at = reading.standpoint(asking) if shape else None
    return {
        "columns": columns,
        "primary_key": list(dataset.primary_key),
        "rules": [*(r.name for r in dataset.row_rules), *(r.name for r in dataset.table_rules)],
        "freshness_seconds": dataset.freshness_seconds,
        "rows_filter": (view.rows or None) if view else None,
        "loaded": _loaded(at, shape.table) if at and shape else None,
    }


def _loaded(at: Standpoint, table: str) -> dict[str, Any] | None:
    """What the table shows, without its age: it would make every answer another one."""
    found = at.state.tables.get(table)
    return None if found is None else {k: v for k, v in asdict(found).items() if k != "age_seconds"}
