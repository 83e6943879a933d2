"""The types of `/graphql`. Each field that reads is a call of its own: decided, as the caller's role, audited."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import strawberry
from starlette.requests import Request
from strawberry.scalars import JSON

from headwater.api.reading.answers import Page
from headwater.api.reading.literals import unusable
from headwater.api.reading.reading import Reading
from headwater.api.reading.rows import Wanted, prepared
from headwater.api.routes import metrics as rest
from headwater.api.routes.answers import paged
from headwater.contracts.model import Dataset as Declared
from headwater.semantics.catalogue import Offer, offers
from headwater.semantics.question import Grain, Question
from headwater.serving.asking import Asking

MOST = 1000
GrainOf = strawberry.enum(Grain, name="Grain")
Names = list[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    reading: Reading
    request: Request

    def call(self, tool: str) -> Asking:
        """As REST has it."""
        return self.reading.call(self.request, tool)


Info = strawberry.Info[Asked, None]
First = Annotated[int, strawberry.argument(description="At most so many, 1 to 1000")]
After = Annotated[str, strawberry.argument(description="`next` of the page before")]


@strawberry.type
class Column:
    """A column as you see it."""

    name: str
    type: str
    description: str
    shown_as: str | None


@strawberry.type
class AnswerColumn:
    """A column of an answer."""

    name: str
    type: str


@strawberry.type
class Rows:
    """Rows, in the order of `columns`, and what they rest on."""

    columns: list[AnswerColumn]
    rows: JSON
    row_count: int
    truncated: bool
    next: str | None
    evidence: JSON


@strawberry.type
class Dataset:
    """A dataset that you may know of."""

    name: str
    label: str
    description: str
    domain: str
    kind: str
    owner: str
    columns: list[Column]
    inputs: strawberry.Private[tuple[str, ...]]

    @strawberry.field
    def rows(
        self,
        info: Info,
        columns: Names | None = None,
        filter: Names | None = None,
        sort: Names | None = None,
        first: First = 100,
        after: After = "",
    ) -> Rows:
        """Rows, masked and filtered by the policy; filters as in REST: `<column>:<operator>:<value>`."""
        reading = info.context.reading
        with info.context.call("rows") as asking:
            wanted = Wanted(
                self.name, ",".join(columns or ()), filter or (), ",".join(sort or ()), _first(first), after
            )
            found = prepared(reading, asking, wanted)
            page, at = reading.answers.page(found.at, found.asked)
            found = replace(found, at=at)
            rows = _rows(page, found.at.evidence(found.asked, truncated=page.truncated), found.following(page))
            asking.answered(datasets=found.asked.tables, rows=page.count, sql=found.asked.replay)
            return rows

    @strawberry.field
    def upstream(self, info: Info) -> list[Dataset]:
        """The datasets it is made from."""
        with info.context.call("lineage") as asking:
            known = _known(info.context.reading, asking)
            return [_dataset(known[name], asking) for name in self.inputs if name in known]

    @strawberry.field
    def downstream(self, info: Info) -> list[Dataset]:
        """The datasets that are made from it."""
        with info.context.call("lineage") as asking:
            known = _known(info.context.reading, asking)
            return [_dataset(d, asking) for _, d in sorted(known.items()) if self.name in d.inputs]


@strawberry.type
class DatasetPage:
    """Some datasets, by name."""

    items: list[Dataset]
    next: str | None


@strawberry.type
class Metric:
    """A figure with a name."""

    name: str
    label: str
    description: str
    unit: str
    dataset: str
    time: str | None
    dimensions: list[str]

    @strawberry.field
    def values(
        self,
        info: Info,
        dimensions: Names | None = None,
        grain: GrainOf | None = None,  # type: ignore[valid-type]
        filter: Names | None = None,
        sort: Names | None = None,
        first: First = 100,
        offset: int = 0,
    ) -> Rows:
        """Its values by dimensions and time; filters as in REST: `<dimension>:<operator>:<value>`."""
        reading = info.context.reading
        with info.context.call("metrics") as asking:
            one = rest.offered(reading, asking, self.name)
            conditions = tuple(rest.condition(reading.contracts, one, text) for text in filter or ())
            ask = partial(Question, (self.name,), tuple(dimensions or ()), conditions, grain, tuple(sort or ()))
            asked = rest.compiled(reading, asking, ask, _first(first), offset)
            at = reading.standpoint(asking)
            page, at = reading.answers.page(at, asked)
            rows = _rows(page, at.evidence(asked, truncated=page.truncated), None)
            asking.answered(datasets=asked.tables, rows=page.count, sql=asked.replay)
            return rows


@strawberry.type
class MetricPage:
    """Some metrics, by name."""

    items: list[Metric]
    next: str | None


@strawberry.type
class Query:
    """What can be asked."""

    @strawberry.field
    def datasets(self, info: Info, first: First = 50, after: After = "") -> DatasetPage:
        """The datasets that you may know of."""
        with info.context.call("datasets") as asking:
            known = _known(info.context.reading, asking)
            page = paged([((name,), {"d": d}) for name, d in sorted(known.items())], _first(first), after, ["datasets"])
            return DatasetPage(items=[_dataset(one["d"], asking) for one in page["items"]], next=page["next"])

    @strawberry.field
    def dataset(self, info: Info, name: str) -> Dataset | None:
        """One of them."""
        with info.context.call("datasets") as asking:
            found = _known(info.context.reading, asking).get(name)
            return _dataset(found, asking) if found else None

    @strawberry.field
    def metrics(self, info: Info, first: First = 50, after: After = "") -> MetricPage:
        """The metrics that you may ask."""
        with info.context.call("metrics") as asking:
            found = offers(info.context.reading.contracts, asking.caller.role)
            page = paged([((name,), {"m": one}) for name, one in found.items()], _first(first), after, ["metrics"])
            return MetricPage(items=[_metric(one["m"]) for one in page["items"]], next=page["next"])

    @strawberry.field
    def metric(self, info: Info, name: str) -> Metric | None:
        """One of them."""
        with info.context.call("metrics") as asking:
            found = offers(info.context.reading.contracts, asking.caller.role).get(name)
            return _metric(found) if found else None


def _known(reading: Reading, asking: Asking) -> dict[str, Declared]:
    return {d.name: d for d in reading.contracts.datasets.values() if reading.knows(asking.caller, d)}


def _dataset(dataset: Declared, asking: Asking) -> Dataset:
    view = asking.caller.role.views.get(dataset.name)
    masks = view.masks if view else {}
    return Dataset(
        name=dataset.name,
        label=dataset.business_name or dataset.name,
        description=" ".join(dataset.description.split()),
        domain=dataset.domain,
        kind=str(dataset.kind),
        owner=dataset.owner,
        columns=[
            Column(
                name=column.name,
                type=str(column.type),
                description=column.description,
                shown_as=str(masks[column.name]) if column.name in masks else None,
            )
            for column in dataset.columns
        ],
        inputs=dataset.inputs,
    )


def _metric(one: Offer) -> Metric:
    told = rest.described(one)
    return Metric(
        **{name: told[name] for name in ("name", "label", "description", "unit", "dataset", "time", "dimensions")}
    )


def _rows(page: Page, evidence: dict[str, Any], following: str | None) -> Rows:
    return Rows(
        columns=[AnswerColumn(**column) for column in page.columns],
        rows=JSON(json.loads(page.rows)),
        row_count=page.count,
        truncated=page.truncated,
        next=following,
        evidence=JSON(evidence),
    )


def _first(first: int) -> int:
    if not 1 <= first <= MOST:
        raise unusable(f"first is 1 to {MOST}")
    return first
