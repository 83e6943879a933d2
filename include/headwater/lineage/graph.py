"""Where a dataset or a column comes from, what comes of it, and what a change of it would touch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from headwater.contracts.metrics import parsed
from headwater.contracts.model import Contracts, Dataset, Kind
from headwater.errors import TerminalError
from headwater.lineage.columns import Place, column_sources


@dataclass(frozen=True, slots=True)
class Step:
    """One dataset on the way, how many steps away, and through which it was reached."""

    dataset: str
    layer: str  # silver or gold: the table that is read
    distance: int
    through: str


@dataclass(frozen=True, slots=True)
class Impact:
    """What a change touches: datasets, `<dataset>.<column>`s and metrics downstream."""

    datasets: tuple[str, ...]
    columns: tuple[str, ...]
    metrics: tuple[str, ...]


class Lineage:
    """Over the contracts; the columns are read out of the models at the first use. Thread-safe."""

    def __init__(self, contracts: Contracts, models_dir: Path) -> None:
        self.contracts = contracts
        self._models_dir = models_dir
        self._lock = threading.Lock()
        self._columns: Mapping[Place, frozenset[Place]] | None = None

    def upstream(self, name: str) -> tuple[Step, ...]:
        """What it is made from, nearest first."""
        return self._steps(name, lambda one: self._inputs(self.contracts.get(one)))

    def downstream(self, name: str) -> tuple[Step, ...]:
        """What is made from it, nearest first."""
        models = self.contracts.of_kind(Kind.MODEL)
        return self._steps(name, lambda one: [m.name for m in models if one in self._inputs(m)])

    def column_upstream(self, dataset: str, column: str) -> tuple[tuple[str, str], ...]:
        """Edges (from, to) as `<dataset>.<column>`, nearest first."""
        sources = self.columns()
        return self._edges((dataset, column), lambda place: sources.get(place, ()), into=True)

    def column_downstream(self, dataset: str, column: str) -> tuple[tuple[str, str], ...]:
        """Edges (from, to) as `<dataset>.<column>`, nearest first."""
        sources = self.columns()
        return self._edges(
            (dataset, column), lambda place: [to for to, found in sources.items() if place in found], into=False
        )

    def impact(self, dataset: str, column: str = "") -> Impact:
        """What a change of a column, or of the whole dataset, touches. Raises `ContractError`, `TerminalError`."""
        declared = self.contracts.get(dataset)
        if not column:
            datasets = tuple(step.dataset for step in self.downstream(dataset))
            touched = {(d, c.name) for d in (dataset, *datasets) for c in self.contracts.get(d).columns}
            return Impact(datasets, (), self._metrics(touched))
        declared.column(column)
        edges = self.column_downstream(dataset, column)
        columns = tuple(dict.fromkeys(to for _, to in edges))
        touched = {(dataset, column), *(_place(to) for to in columns)}
        return Impact(tuple(dict.fromkeys(_place(to)[0] for to in columns)), columns, self._metrics(touched))

    def columns(self) -> Mapping[Place, frozenset[Place]]:
        """Per column those it is computed from: by the SQL, and by the contract where the SQL counts rows."""
        with self._lock:
            if self._columns is None:
                found = column_sources(self.contracts, self._models_dir)
                self._columns = {place: sources or self._declared(place) for place, sources in found.items()}
            return self._columns

    def _declared(self, place: Place) -> frozenset[Place]:
        sources = self.contracts.get(place[0]).column(place[1]).sources
        return frozenset(_place(source) if "." in source else (place[0], source) for source in sources)

    def _inputs(self, dataset: Dataset) -> tuple[str, ...]:
        return dataset.inputs if dataset.kind is Kind.MODEL else ()

    def _steps(self, name: str, following: Callable[[str], Iterable[str]]) -> tuple[Step, ...]:
        self.contracts.get(name)
        found: dict[str, Step] = {}
        edge = [name]
        for distance in range(1, len(self.contracts.datasets) + 1):
            edge = [self._found(found, one, distance, at) for at in edge for one in following(at) if one not in found]
            if not edge:
                break
        found.pop(name, None)
        return tuple(found.values())

    def _found(self, found: dict[str, Step], name: str, distance: int, through: str) -> str:
        layer = "gold" if self.contracts.get(name).kind is Kind.MODEL else "silver"
        found[name] = Step(name, layer, distance, through)
        return name

    def _edges(
        self, start: Place, following: Callable[[Place], Iterable[Place]], *, into: bool
    ) -> tuple[tuple[str, str], ...]:
        if start not in self.columns():
            raise TerminalError(f"there is no column '{start[1]}' in {start[0]}", remedy="describe_dataset shows them")
        edges: dict[tuple[str, str], None] = {}
        waiting, seen = [start], {start}
        while waiting:
            at = waiting.pop(0)
            for other in sorted(following(at)):
                edges[(_name(other), _name(at)) if into else (_name(at), _name(other))] = None
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return tuple(edges)

    def _metrics(self, touched: set[Place]) -> tuple[str, ...]:
        """Metrics that rest on one of these columns, in their figures or dimensions."""
        found = []
        for dataset in self.contracts.datasets.values():
            measures = {metric.name: metric for metric in dataset.metrics}
            for metric in dataset.metrics:
                parts = (metric,) if metric.ratio is None else (measures[metric.ratio.of], measures[metric.ratio.to])
                names = {column.name for part in parts for column in parsed(part.expression).find_all(exp.Column)}
                names |= {metric.time} if metric.time else set()
                places = {(dataset.name, name) for name in names}
                places |= {_place(d) if "." in d else (dataset.name, d) for d in metric.dimensions}
                if places & touched:
                    found.append(metric.name)
        return tuple(sorted(found))


def _place(text: str) -> Place:
    dataset, _, column = text.partition(".")
    return dataset, column


def _name(place: Place) -> str:
    return ".".join(place)
