"""The query server: one SELECT with its evidence, what it would cost, figures with a name, pages, export."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from headwater.mcp.sidecar import ROWS_ARE, Rows, Sidecar
from headwater.semantics.catalogue import offers
from headwater.semantics.compiling import compile_question
from headwater.semantics.question import Filter, Grain, Operator, Question
from headwater.serving.answering import Request
from headwater.serving.costs import Cost, estimate
from headwater.serving.evidence import Evidence

DEFAULT_ROWS = 100
EXPORT_ROWS = 10_000
EXPORT_CHARACTERS = 1_000_000
Sql = Annotated[str, Field(description="one SELECT in ClickHouse SQL over gold.* and live.* tables")]
Parameters = Annotated[
    dict[str, Any] | None, Field(description="values for {name:Type} in the statement, e.g. {store:Int64}")
]


@dataclass(frozen=True, slots=True)
class MetricListed:
    """A figure with a name. `dimensions` are those it can be asked by; `masked` how some of them are shown."""

    name: str
    label: str
    description: str
    unit: str
    dataset: str
    has_time: bool
    dimensions: list[str]
    masked: dict[str, str]
    synonyms: list[str]


@dataclass(frozen=True, slots=True)
class Metrics:
    """The figures that can be asked by name."""

    metrics: list[MetricListed]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a dimension, or on `period` (the day, as 2017-01-31). `values` holds one value, or several."""

    dimension: str
    operator: Literal["=", "!=", "<", "<=", ">", ">=", "in", "not in", "is null", "is not null"] = "="
    values: list[str | int | float | bool] | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """The rows as one text."""

    format: str
    rows: int
    truncated: bool
    text: str
    text_is: str
    evidence: Evidence


class Queries:
    """The tools of this server."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self.tools = (self.query, self.estimate_query, self.list_metrics, self.query_metrics, self.export_query)

    def query(
        self,
        sql: Sql,
        max_rows: Annotated[int, Field(description="rows to return, 1 to 1000", ge=1, le=1000)] = DEFAULT_ROWS,
        parameters: Parameters = None,
        page: Annotated[str, Field(description="next_page of the answer before, with the same statement")] = "",
    ) -> Rows:
        """Run one bounded SELECT. Where `truncated`, ask again with `page` set to `next_page`; use ORDER BY then."""
        with self._sidecar.asked("query") as asking:
            return self._sidecar.answer(asking, Request(sql, parameters or {}, max_rows, page))

    def estimate_query(self, sql: Sql) -> Cost:
        """What a SELECT would read at most, and the bounds of an answer, without running it."""
        with self._sidecar.asked("estimate_query") as asking:
            cost = estimate(self._sidecar.shown, asking.caller.role, sql)
            asking.answered(datasets=[one.table for one in cost.tables], rows=0, sql=sql)
            return cost

    def list_metrics(self) -> Metrics:
        """Figures with a name (revenue, baskets, …): what they mean, their unit, by what they can be asked."""
        with self._sidecar.asked("list_metrics") as asking:
            offered = offers(self._sidecar.contracts, asking.caller.role)
            return Metrics([
                MetricListed(
                    m.name, m.label, m.description, m.unit, m.dataset, m.time is not None, list(one.dimensions),
                    {name: str(mask) for name, mask in one.masked.items()}, list(m.synonyms),
                )
                for one in offered.values() for m in (one.metric,)
            ])  # fmt: skip

    def query_metrics(
        self,
        metrics: Annotated[list[str], Field(description="names as list_metrics gives them, of one dataset")],
        dimensions: Annotated[list[str] | None, Field(description="by what, e.g. [dim_product.department]")] = None,
        filters: Annotated[list[Condition] | None, Field(description="conditions, all of which hold")] = None,
        grain: Annotated[
            Literal["day", "week", "month", "quarter", "year"] | None, Field(description="periods, where it has a time")
        ] = None,
        order: Annotated[list[str] | None, Field(description="columns of the answer, -name for descending")] = None,
        max_rows: Annotated[int, Field(description="rows to return, 1 to 1000", ge=1, le=1000)] = DEFAULT_ROWS,
        page: Annotated[str, Field(description="next_page of the answer before, with the same question")] = "",
    ) -> Rows:
        """Figures by name: the same question gives the same SQL, which the evidence shows and `query` repeats."""
        with self._sidecar.asked("query_metrics") as asking:
            question = Question(
                tuple(metrics),
                tuple(dimensions or ()),
                tuple(Filter(f.dimension, Operator(f.operator), tuple(f.values or ())) for f in filters or ()),
                Grain(grain) if grain else None,
                tuple(order or ()),
                limit=EXPORT_ROWS,
            )
            compiled = compile_question(self._sidecar.contracts, question, asking.caller.role)
            return self._sidecar.answer(asking, Request(compiled.sql, compiled.parameters, max_rows, page))

    def export_query(
        self,
        sql: Sql,
        format: Annotated[Literal["csv", "jsonl", "markdown"], Field(description="of the text")] = "csv",
        max_rows: Annotated[int, Field(description="rows, 1 to 10000", ge=1, le=EXPORT_ROWS)] = 1_000,
        parameters: Parameters = None,
    ) -> Export:
        """The rows of one SELECT as one text of at most a million characters, to be written into a file."""
        with self._sidecar.asked("export_query") as asking:
            request = Request(sql, parameters or {}, max_rows, most_rows=EXPORT_ROWS)
            answer = self._sidecar.answer(asking, request)
            text, rows = _written(answer, format)
            return Export(format, rows, answer.truncated or rows < len(answer.rows), text, ROWS_ARE, answer.evidence)


def _written(answer: Rows, form: str) -> tuple[str, int]:
    """The text, whole rows only, and how many of them there are in it."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    if form == "markdown":
        out.write(f"| {' | '.join(answer.columns)} |\n|{' --- |' * len(answer.columns)}\n")
    elif form == "csv":
        write(answer.columns)
    for count, row in enumerate(answer.rows):
        end = out.tell()
        if form == "csv":
            write([_cell(value) for value in row])
        elif form == "jsonl":
            out.write(json.dumps(dict(zip(answer.columns, row, strict=True)), ensure_ascii=False) + "\n")
        else:
            cells = (str(_cell(value)).replace("|", "\\|").replace("\n", " ") for value in row)
            out.write(f"| {' | '.join(cells)} |\n")
        if out.tell() > EXPORT_CHARACTERS:
            return out.getvalue()[:end], count
    return out.getvalue(), len(answer.rows)


def _cell(value: Any) -> Any:
    """A cell of a table. A spreadsheet takes text that begins with one of these for a formula, so it gets a quote."""
    if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t", "\r"):
        return f"'{value}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
