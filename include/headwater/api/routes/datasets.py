"""`/v1/datasets`: which there are, what one is, its rows."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from headwater.api.gate import Admitted
from headwater.api.problems import Problem
from headwater.api.reading import cursor as cursors
from headwater.api.reading import selection
from headwater.api.reading.answers import MOST_ROWS, Asked, Standpoint
from headwater.api.reading.literals import unusable
from headwater.api.reading.reading import Reading
from headwater.api.routes.answers import (
    FORMATS,
    JSON,
    NAME,
    ListModel,
    OpenModel,
    RowsModel,
    accepted,
    json_answer,
    not_modified,
    paged,
    refusals,
    rows_response,
    stream_headers,
    tabular,
    unchanged,
)
from headwater.contracts.model import Dataset

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
Name = Annotated[str, Path(pattern=NAME, description="A dataset's name")]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="Items of one page")]
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
    with reading.call(request, "datasets") as admitted:
        known = [d for _, d in sorted(reading.contracts.datasets.items()) if reading.knows(admitted.caller, d)]
        items = [((d.name,), _summary(d, admitted)) for d in known if domain in ("", d.domain)]
        body = paged(items, limit, cursor, ["datasets", domain])
        admitted.record((), rows=len(body["items"]))
        return json_answer(request, body)


@router.get("/{dataset}", response_model=OpenModel, responses=refusals(404))
def get_dataset(request: Request, dataset: Name) -> Response:
    """What a dataset is: columns as you see them, key, owner, rules, what the warehouse shows of it."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "datasets") as admitted:
        declared = reading.dataset(dataset, admitted.caller)
        body = _summary(declared, admitted) | _details(reading, declared, admitted)
        admitted.record((declared.name,), rows=0)
        return json_answer(request, body)


@router.get(
    "/{dataset}/rows",
    response_model=RowsModel,
    responses={**tabular("Rows as you may see them"), **refusals(404, 406, 422)},
)
def get_rows(
    request: Request,
    dataset: Name,
    columns: Annotated[str, Query(pattern=f"^{selection.COLUMNS}$", max_length=4000, description="a,b,c")] = "",
    filter: Annotated[  # noqa: A002 - the name of the parameter
        list[Annotated[str, Query(pattern=f"^{selection.FILTER}$")]] | None,
        Query(
            max_length=selection.MOST_FILTERS,
            description="`<column>:<operator>:<value>`, all of which hold; eq ne lt le gt ge in null contains prefix",
        ),
    ] = None,
    sort: Annotated[
        str, Query(pattern=f"^{selection.SORT}$", max_length=1000, description="a,-b: by a, then b falling")
    ] = "",
    limit: Annotated[int | None, Query(ge=1, le=100_000_000, description="Rows; JSON has at most 1000")] = None,
    cursor: CursorText = "",
) -> Response:
    """Rows of a dataset, masked and filtered as the policy says; JSON by the page, CSV and Arrow in one stream."""
    reading: Reading = request.app.state.reading
    form = accepted(request)
    with reading.call(request, "rows") as admitted:
        shape = reading.shape(dataset, admitted)
        chosen = selection.selected(shape, columns, filter or (), sort)
        question = [admitted.caller.role.name, *chosen.question]
        begin = cursors.read(cursor, question) if cursor else None
        at = reading.standpoint(admitted)
        most = limited(limit, form, admitted)
        extra = 1 if form == JSON else 0
        statement = chosen.statement(admitted.caller.role.database, most + extra, begin)
        names = [*statement.columns, *(key for key in statement.keys if key not in statement.columns)]
        keys = tuple(names.index(key) for key in statement.keys)
        asked = Asked(
            statement.sql, statement.parameters, (shape.table,), chosen.replay(most), most, len(statement.columns), keys
        )
        if form != JSON:
            # The order's own columns would be in the stream as well.
            bare = ", ".join(map(selection.quote_name, statement.columns))
            asked = Asked(f"SELECT {bare} FROM ({statement.sql})", statement.parameters, *_rest(asked))  # noqa: S608
            return streamed(reading, request, admitted, at, asked, form)
        etag = at.etag(asked, form)
        if etag is not None and unchanged(request, etag):
            admitted.record(asked.tables, rows=0, sql=asked.replay)
            return not_modified(etag)
        page = reading.answers.page(at, asked)
        next_page = None
        if page.truncated:
            skipped = page.alike + (begin.skip if begin and list(begin.after) == page.ends else 0)
            next_page = cursors.written(
                cursors.Cursor(tuple(page.ends), skipped, at.state.mark(asked.tables) or ""), question
            )
        admitted.record(asked.tables, rows=page.count, sql=asked.replay)
        same = begin is None or begin.mark == (at.state.mark(asked.tables) or "")
        return rows_response(page, at.evidence(asked), next_page, etag, same_snapshot=same)


def limited(limit: int | None, form: str, admitted: Admitted) -> int:
    """How many rows at most. Raises `Problem` (422) for more than the policy lets the role have."""
    cap = admitted.caller.role.limits.rows
    most = min(cap - 1, MOST_ROWS) if form == JSON else cap
    if limit is not None and limit > most:
        raise unusable(f"at most {most} rows" + (": ask for CSV or Arrow, or page on" if form == JSON else ""))
    return limit or (min(100, most) if form == JSON else most)


def streamed(
    reading: Reading, request: Request, admitted: Admitted, at: Standpoint, asked: Asked, form: str
) -> Response:
    """The rows piece by piece; audited before the first, when nobody knows how many there will be."""
    etag = at.etag(asked, form)
    if etag is not None and unchanged(request, etag):
        admitted.record(asked.tables, rows=0, sql=asked.replay)
        return not_modified(etag)
    answer = reading.answers.stream(at, asked, FORMATS[form])
    try:
        admitted.record(asked.tables, rows=None, sql=asked.replay)
    except BaseException:
        answer.close()
        raise
    headers = stream_headers(at.evidence(asked), asked.limit, etag)
    return StreamingResponse(iterate_in_threadpool(answer.pieces()), headers=headers, media_type=form)


def _rest(asked: Asked) -> tuple[tuple[str, ...], str, int]:
    return asked.tables, asked.replay, asked.limit


def _summary(dataset: Dataset, admitted: Admitted) -> dict[str, Any]:
    view = admitted.caller.role.views.get(dataset.name)
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


def _details(reading: Reading, dataset: Dataset, admitted: Admitted) -> dict[str, Any]:
    view = admitted.caller.role.views.get(dataset.name)
    shape = reading.shape(dataset.name, admitted) if view else None
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
    at = reading.standpoint(admitted) if shape else None
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
    from dataclasses import asdict

    found = at.state.tables.get(table)
    return None if found is None else {k: v for k, v in asdict(found).items() if k != "age_seconds"}


__all__ = ["Problem", "router"]
