"""The lineage server: where data come from, what comes of them, column by column, and when they were loaded.

Datasets that the caller's role may not know of are counted and not named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from headwater.mcp.data import Name
from headwater.mcp.sidecar import Sidecar
from headwater.policy.model import Role
from headwater.semantics.catalogue import offers
from headwater.serving.evidence import Evidence

LOADS = (
    "SELECT load_id, toString(snapshot_id), loaded_at, replaced, rows FROM platform.loads "
    "WHERE dataset = {dataset:String} ORDER BY loaded_at DESC LIMIT {limit:UInt32}"
)
Column = Annotated[str, Field(description="one of its columns, as describe_dataset names it")]


@dataclass(frozen=True, slots=True)
class Reached:
    """A dataset on the way: how many steps away, and through which."""

    dataset: str
    layer: str
    distance: int
    through: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Datasets up or down from one, the nearest first; `hidden` more are there that the role may not know of."""

    dataset: str
    datasets: list[Reached]
    hidden: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Edge:
    """The value of `source` goes into `target`; both are `<dataset>.<column>`."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class ColumnGraph:
    """Columns up and down from one."""

    column: str
    upstream: list[Edge]
    downstream: list[Edge]
    hidden: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class ImpactTold:
    """What a change would touch; of the metrics those that the role may ask."""

    changed: str
    datasets: list[str]
    columns: list[str]
    metrics: list[str]
    hidden: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Run:
    """One load of a table into the warehouse. `rows` only for a role that sees all of them."""

    load_id: str
    snapshot_id: str
    loaded_at: str
    replaced: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class Runs:
    """The newest loads, newest first."""

    dataset: str
    runs: list[Run]
    evidence: Evidence


class LineageTools:
    """The tools of this server."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self.tools = (
            self.get_upstream, self.get_downstream, self.get_column_lineage, self.get_impact, self.get_runs,
        )  # fmt: skip

    def get_upstream(self, dataset: Name) -> Graph:
        """Which datasets one is made from, the nearest first."""
        return self._graph("get_upstream", dataset, up=True)

    def get_downstream(self, dataset: Name) -> Graph:
        """Which datasets are made from one, the nearest first."""
        return self._graph("get_downstream", dataset, up=False)

    def get_column_lineage(self, dataset: Name, column: Column) -> ColumnGraph:
        """From which columns a value comes, and into which it goes, as the models' SQL says."""
        with self._sidecar.asked("get_column_lineage") as asking:
            declared, table, _ = self._sidecar.dataset(asking, dataset)
            role = asking.caller.role
            up = self._sidecar.lineage.column_upstream(declared.name, column)
            down = self._sidecar.lineage.column_downstream(declared.name, column)
            told = [[Edge(*edge) for edge in edges if self._known(role, *edge)] for edges in (up, down)]
            hidden = len(up) + len(down) - len(told[0]) - len(told[1])
            evidence = self._sidecar.evidence(asking, [table])
            return ColumnGraph(f"{declared.name}.{column}", told[0], told[1], hidden, evidence)

    def get_impact(self, dataset: Name, column: Column = "") -> ImpactTold:
        """What a change of a dataset, or of one of its columns, touches: datasets, columns and metrics."""
        with self._sidecar.asked("get_impact") as asking:
            declared, table, _ = self._sidecar.dataset(asking, dataset)
            role, impact = asking.caller.role, self._sidecar.lineage.impact(declared.name, column)
            datasets = [name for name in impact.datasets if self._sidecar.named(role, name)]
            columns = [name for name in impact.columns if self._known(role, name)]
            hidden = len(impact.datasets) - len(datasets)
            changed = f"{declared.name}.{column}" if column else declared.name
            evidence = self._sidecar.evidence(asking, [table])
            offered = offers(self._sidecar.contracts, role)
            metrics = [name for name in impact.metrics if name in offered]
            return ImpactTold(changed, datasets, columns, metrics, hidden, evidence)

    def get_runs(
        self, dataset: Name, limit: Annotated[int, Field(description="how many, 1 to 100", ge=1, le=100)] = 10
    ) -> Runs:
        """The newest loads of a table: when, which Iceberg snapshot, which dates it replaced."""
        with self._sidecar.asked("get_runs") as asking:
            declared, table, view = self._sidecar.dataset(asking, dataset)
            rows = self._sidecar.shown.ask(LOADS, {"dataset": declared.name, "limit": limit})
            runs = [Run(load, at, when, dates, None if view.rows else n) for load, at, when, dates, n in rows]
            return Runs(declared.name, runs, self._sidecar.evidence(asking, [table]))

    def _graph(self, tool: str, dataset: str, *, up: bool) -> Graph:
        with self._sidecar.asked(tool) as asking:
            declared, table, _ = self._sidecar.dataset(asking, dataset)
            lineage = self._sidecar.lineage
            steps = lineage.upstream(declared.name) if up else lineage.downstream(declared.name)
            role = asking.caller.role
            told = [step for step in steps if self._sidecar.named(role, step.dataset)]
            reached = [
                Reached(s.dataset, s.layer, s.distance, s.through if self._sidecar.named(role, s.through) else "")
                for s in told
            ]
            return Graph(declared.name, reached, len(steps) - len(told), self._sidecar.evidence(asking, [table]))

    def _known(self, role: Role, *columns: str) -> bool:
        return all(self._sidecar.named(role, column.partition(".")[0]) for column in columns)
