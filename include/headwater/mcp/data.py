"""The data server: which datasets there are, what one looks like, a few of its rows, its profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.clickhouse import table_columns, warehouse_tables
from headwater.contracts.model import Column, Dataset
from headwater.contracts.types import Array, Map
from headwater.mcp.sidecar import ROWS_ARE, Rows, Sidecar
from headwater.policy.model import Mask, Role, View
from headwater.semantics.catalogue import Metric, offers
from headwater.serving.answering import Request
from headwater.serving.evidence import Evidence, LoadedTable

SAMPLE_ROWS = 10
Name = Annotated[str, Field(description="a dataset's name as list_datasets gives it, e.g. fct_sales")]


@dataclass(frozen=True, slots=True)
class Listed:
    """One table. `rows` only where the role sees all of them; `loaded` is what it shows, None where unknown."""

    table: str
    name: str
    description: str
    domain: str
    owner: str
    rows: int | None
    loaded: LoadedTable | None


@dataclass(frozen=True, slots=True)
class Datasets:
    """The tables that can be asked."""

    datasets: list[Listed]


@dataclass(frozen=True, slots=True)
class Found:
    """A dataset that fits a search, the best first, and where the words were found."""

    table: str
    name: str
    score: int
    found_in: list[str]


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found."""

    found: list[Found]


@dataclass(frozen=True, slots=True)
class Described:
    """One dataset by its contract; columns as {name, type, description, classification, shown_as, references}."""

    table: str
    description: str
    owner: str
    domain: str
    version: str
    primary_key: list[str]
    columns: list[dict[str, Any]]
    metrics: list[str]
    quality_rules: list[str]
    quality_results: list[dict[str, Any]]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Profile:
    """Per column {name, type, nulls, distinct, minimum, maximum} over `rows` rows; distinct is an estimate."""

    table: str
    rows: int
    columns: list[dict[str, Any]]
    values_are: str
    evidence: Evidence


class Data:
    """The tools of this server."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self.tools = (
            self.list_datasets, self.search_datasets, self.describe_dataset, self.sample, self.profile_dataset,
        )  # fmt: skip

    def list_datasets(self) -> Datasets:
        """All tables that can be queried: name, description, owner, rows, and what they show (freshness, quality)."""
        with self._sidecar.asked("list_datasets") as asking:
            views = asking.caller.role.views
            loaded, rows = self._sidecar.shown.recent(), self._sidecar.shown.rows()
            return Datasets([self._listed(view, loaded, rows) for _, view in sorted(views.items())])

    def search_datasets(
        self, text: Annotated[str, Field(description="words to look for, e.g. coupon cost", max_length=200)]
    ) -> Search:
        """Datasets whose name, description, columns or metrics hold the words, the best fit first."""
        with self._sidecar.asked("search_datasets") as asking:
            words = [word for word in text.lower().replace("_", " ").split() if word]
            role = asking.caller.role
            found = [self._scored(role, view, words) for view in role.views.values()]
            best = sorted((one for one in found if one.score), key=lambda one: (-one.score, one.table))
            return Search(best[:20])

    def describe_dataset(self, dataset: Name) -> Described:
        """One dataset: columns with types and meaning, key, owner, metrics, quality rules and their last results."""
        with self._sidecar.asked("describe_dataset") as asking:
            declared, table, view = self._sidecar.dataset(asking, dataset)
            evidence = self._sidecar.evidence(asking, [table], f"DESCRIBE TABLE {table}")
            return Described(
                table=table,
                description=declared.description,
                owner=declared.owner,
                domain=declared.domain,
                version=declared.version,
                primary_key=list(declared.primary_key),
                columns=[described(column, view) for column in columns_of(declared, view)],
                metrics=[metric.name for metric in self._offered(asking.caller.role, declared)],
                quality_rules=[*(r.name for r in declared.row_rules), *(r.name for r in declared.table_rules)],
                quality_results=outcomes_told(self._sidecar.shown.outcomes(declared.name), view),
                evidence=evidence,
            )

    def sample(
        self,
        dataset: Name,
        rows: Annotated[int, Field(description="rows to return, 1 to 100", ge=1, le=100)] = SAMPLE_ROWS,
    ) -> Rows:
        """A few rows of one dataset, in the order of its key."""
        with self._sidecar.asked("sample") as asking:
            declared, table, _ = self._sidecar.dataset(asking, dataset)
            order = ", ".join(declared.primary_key) or "tuple()"
            sql = f"SELECT * FROM {table} ORDER BY {order} LIMIT {rows}"  # noqa: S608 - names of the contract
            return self._sidecar.answer(asking, Request(sql, max_rows=rows))

    def profile_dataset(self, dataset: Name) -> Profile:
        """Per column of a dataset: how many nulls, how many different values, the least and the greatest."""
        with self._sidecar.asked("profile_dataset") as asking:
            declared, table, view = self._sidecar.dataset(asking, dataset)
            columns = columns_of(declared, view)
            answer = self._sidecar.answer(asking, Request(_profile_sql(columns, view), max_rows=1))
            count, *values = answer.rows[0]
            profiles = [
                {"name": c.name, "type": str(c.type), "shown_as": str(view.masks[c.name]),
                 "nulls": values[4 * i], "distinct": values[4 * i + 1],
                 "minimum": values[4 * i + 2], "maximum": values[4 * i + 3]}
                for i, c in enumerate(columns)
            ]  # fmt: skip
            return Profile(table, count, profiles, ROWS_ARE, answer.evidence)

    def _listed(self, view: View, loaded: Any, rows: Any) -> Listed:
        dataset = self._sidecar.contracts.datasets[view.dataset]
        return Listed(
            table=view.table,
            name=dataset.business_name or dataset.name,
            description=" ".join(dataset.description.split()),
            domain=dataset.domain,
            owner=dataset.owner,
            # How many rows there are is nobody's business who sees only some.
            rows=None if view.rows else rows.get(view.table),
            loaded=loaded.get(view.table),
        )

    def _offered(self, role: Role, dataset: Dataset) -> list[Metric]:
        offered = offers(self._sidecar.contracts, role)
        return [metric for metric in dataset.metrics if metric.name in offered]

    def _scored(self, role: Role, view: View, words: list[str]) -> Found:
        dataset = self._sidecar.contracts.datasets[view.dataset]
        metrics = " ".join(f"{m.name} {m.label} {' '.join(m.synonyms)}" for m in self._offered(role, dataset))
        columns = " ".join(f"{c.name} {c.description}" for c in columns_of(dataset, view))
        places = {
            "name": (8, f"{dataset.name} {dataset.business_name}"),
            "metrics": (4, metrics),
            "description": (2, dataset.description),
            "columns": (1, columns),
        }
        texts = {place: (weight, text.lower().replace("_", " ")) for place, (weight, text) in places.items()}
        hits = [(place, weight) for word in words for place, (weight, text) in texts.items() if word in text]
        return Found(
            view.table, dataset.business_name or dataset.name, sum(weight for _, weight in hits),
            sorted({place for place, _ in hits}),
        )  # fmt: skip


def columns_of(dataset: Dataset, view: View) -> tuple[Column, ...]:
    """The columns of the dataset's ClickHouse table that the role sees."""
    return tuple(c for c in table_columns(dataset, warehouse_tables(dataset)[0]) if c.name in view.masks)


def described(column: Column, view: View) -> dict[str, Any]:
    """One column, as a role sees it."""
    return {
        "name": column.name,
        "type": str(column.type),
        "description": column.description,
        "classification": column.classification,
        "shown_as": str(view.masks[column.name]),
        "references": column.references,
    }


def outcomes_told(results: list[dict[str, Any]], view: View) -> list[dict[str, Any]]:
    """The outcomes without what was found, which may quote rows, for who does not see all of every row."""
    if not view.masked and not view.rows:
        return results
    return [{name: value for name, value in result.items() if name != "found"} for result in results]


def datasets_of(role: Role) -> list[str]:
    """The tables that a role sees."""
    return sorted(view.table for view in role.views.values())


def _profile_sql(columns: tuple[Column, ...], view: View) -> str:
    """Four figures per column; of hashes and collections there is no least and greatest worth telling."""
    figures = []
    for column in columns:
        name = column.name
        bounded = not isinstance(column.type, Array | Map) and view.masks[name] is not Mask.HASH
        ends = (f"toString(min({name}))", f"toString(max({name}))") if bounded else ("''", "''")
        figures += [f"countIf(isNull({name}))", f"uniq({name})", *ends]
    return f"SELECT count(), {', '.join(figures)} FROM {view.table}"  # noqa: S608 - names of the contract
