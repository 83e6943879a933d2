"""What an agent may read beside the tools: contracts and pages of datasets, lineage graphs, sample queries, prompts.

Each is written for the role of whoever reads it: columns with their masks, metrics it may ask, no dataset it may not
know of. A resource of a dataset that is not there and one of a dataset that is not seen give the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from fastmcp import FastMCP

from headwater.contracts.model import Dataset
from headwater.mcp.data import columns_of, datasets_of, described
from headwater.mcp.sidecar import Sidecar
from headwater.policy.model import View
from headwater.semantics.catalogue import offers
from headwater.semantics.compiling import compile_question
from headwater.semantics.question import Grain, Question
from headwater.serving.asking import Asking

MARKDOWN, YAML = "text/markdown", "application/yaml"
READ = "read_resource"


class Resources:
    """The resources of the sidecar."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar

    def index(self) -> str:
        """The datasets, with what each is for."""
        with self._sidecar.asked(READ) as asking:
            names = datasets_of(asking.caller.role)
            datasets = self._sidecar.contracts.datasets
            lines = [f"- {name}: {' '.join(datasets[name.partition('.')[2]].description.split())}" for name in names]
            return "# Datasets\n\n" + "\n".join(lines) + "\n"

    def contract(self, dataset: str) -> str:
        """A dataset's contract, as the reader's role has it."""
        with self._sidecar.asked(READ) as asking:
            declared, table, view = self._sidecar.dataset(asking, dataset)
            offered = offers(self._sidecar.contracts, asking.caller.role)
            facts = {
                "dataset": declared.name,
                "table": table,
                "version": declared.version,
                "owner": declared.owner,
                "description": " ".join(declared.description.split()),
                "primary_key": list(declared.primary_key),
                "freshness_seconds": declared.freshness_seconds or declared.latency_seconds,
                "when_stale": str(declared.when_stale),
                "when_failing": str(declared.when_failing),
                "rows": "some, by the policy" if view.rows else "all",
                "columns": [described(column, view) for column in columns_of(declared, view)],
                "metrics": [
                    {"name": m.name, "label": m.label, "unit": m.unit, "by": list(offered[m.name].dimensions)}
                    for m in declared.metrics
                    if m.name in offered
                ],
                "quality": [*(r.name for r in declared.row_rules), *(r.name for r in declared.table_rules)],
            }
            return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)

    def page(self, dataset: str) -> str:
        """A dataset for people: what it holds, its columns, how fresh it is."""
        with self._sidecar.asked(READ) as asking:
            declared, table, view = self._sidecar.dataset(asking, dataset)
            return "\n".join(self._page(declared, table, view)) + "\n"

    def graph(self, dataset: str) -> str:
        """The lineage of a dataset as a Mermaid graph."""
        with self._sidecar.asked(READ) as asking:
            declared, _, _ = self._sidecar.dataset(asking, dataset)
            lineage, role = self._sidecar.lineage, asking.caller.role
            edges = {(s.dataset, s.through) for s in lineage.upstream(declared.name)}
            edges |= {(s.through, s.dataset) for s in lineage.downstream(declared.name)}
            told = [e for e in sorted(edges) if all(self._sidecar.named(role, name) for name in e)]
            return "graph LR\n" + "".join(f"    {source} --> {target}\n" for source, target in told)

    def queries(self, dataset: str) -> str:
        """Queries that can be sent as they are."""
        with self._sidecar.asked(READ) as asking:
            declared, table, view = self._sidecar.dataset(asking, dataset)
            return "\n".join(self._samples(asking, declared, table, view))

    def _page(self, declared: Dataset, table: str, view: View) -> Iterator[str]:
        shown = self._sidecar.shown.recent().get(table)
        yield f"# {declared.business_name or declared.name} (`{table}`)"
        yield ""
        yield " ".join(declared.description.split())
        yield ""
        if shown is not None:
            state = "stale" if shown.stale else "fresh"
            yield f"Snapshot {shown.snapshot_id}, seen to be the newest at {shown.as_of} ({state})."
            yield ""
        yield "| column | type | shown as | meaning |"
        yield "| --- | --- | --- | --- |"
        for column in columns_of(declared, view):
            yield f"| {column.name} | {column.type} | {view.masks[column.name]} | {column.description} |"

    def _samples(self, asking: Asking, declared: Dataset, table: str, view: View) -> Iterator[str]:
        order = ", ".join(declared.primary_key)
        yield f"-- The first rows\nSELECT * FROM {table} ORDER BY {order} LIMIT 10;\n"
        offered = offers(self._sidecar.contracts, asking.caller.role)
        for one in (offered[m.name] for m in declared.metrics if m.name in offered):
            metric, by = one.metric, tuple(d for d in one.dimensions if "." not in d)[:1]
            question = Question((metric.name,), by, grain=Grain.MONTH if metric.time else None, limit=100)
            yield f"-- {metric.label}\n{compile_question(self._sidecar.contracts, question).sql};\n"


def add_resources(server: FastMCP, resources: Resources) -> None:
    """Register them."""
    server.resource("headwater://datasets", name="datasets", mime_type=MARKDOWN)(resources.index)
    for uri, reading, mime in (
        ("headwater://contracts/{dataset}", resources.contract, YAML),
        ("headwater://datasets/{dataset}", resources.page, MARKDOWN),
        ("headwater://lineage/{dataset}", resources.graph, "text/vnd.mermaid"),
        ("headwater://queries/{dataset}", resources.queries, "application/sql"),
    ):
        server.resource(uri, name=uri.split("/")[2], mime_type=mime)(reading)
