"""Everything one dataset became, from its contract and the tree alone: what `headwater dataset where` prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from headwater.contracts.clickhouse import warehouse_tables
from headwater.contracts.graph import RESTATE, model_path, pipeline_graph
from headwater.contracts.layers import table_names
from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Dataset, Kind
from headwater.contracts.releases import releases
from headwater.settings import Settings
from headwater.streaming.live_views import LIVE, LiveView, views_of

Footprint = dict[str, list[str]]

JOBS = {
    Kind.STREAM: ("ingest_stream", "build_silver", "maintain_tables"),
    Kind.TABLE: ("ingest_batch", "build_silver", "maintain_tables"),
    Kind.CAPTURE: ("ingest_stream", "build_silver", "maintain_tables"),
    Kind.FILES: ("ingest_batch", "build_silver", "maintain_tables"),
    Kind.MODEL: ("build_gold", "load_warehouse", "maintain_tables"),
}
"""Files of `spark_jobs/` that work on a dataset, in this order."""
STREAM_TESTS = ("tests/faults", "tests/integration/streaming")
"""What is tested with one stream holds for all: they differ by contract only."""


def footprint(settings: Settings, dataset: Dataset) -> Footprint:
    """By aspect (contract, source, topic, subject, schema …) the names and paths; an aspect without any is left out."""
    tasks = list(_tasks(settings, dataset))
    found: Footprint = {
        "contract": [_relative(settings, dataset.path)],
        "source": _source(settings, dataset),
        "topic": [dataset.topic] if dataset.streamed else [],
        "subject": [dataset.subject] if dataset.streamed else [],
        "schema": _schemas(settings, dataset),
        "model": _model(settings, dataset),
        "tables": [f"lake.{name}" for name in table_names(dataset)],
        "row rules": [f"{r.name}: {r.expression}" for r in dataset.row_rules],
        "table rules": [r.name for r in dataset.table_rules],
        "jobs": [f"spark_jobs/{job}.py" for job in JOBS[dataset.kind]],
        "dags": list(dict.fromkeys(task.split(":")[0] for task in tasks)),
        "tasks": tasks,
        "read by": _readers(settings, dataset),
        "warehouse": [f"{t.database}.{dataset.name} ({t.engine})" for t in warehouse_tables(dataset)],
        "live views": [f"{LIVE}.{v.name} ({_relative(settings, v.path)})" for v in _views(settings, dataset)],
        "tests": [*_tests(settings.project_dir, dataset)],
    }
    return {aspect: names for aspect, names in found.items() if names}


def _relative(settings: Settings, path: Path) -> str:
    return str(path.relative_to(settings.project_dir)) if path.is_relative_to(settings.project_dir) else str(path)


def _source(settings: Settings, dataset: Dataset) -> list[str]:
    match dataset.kind:
        case Kind.TABLE:
            return [f"Postgres {settings.postgres_source_database}.{dataset.source_name}"]
        case Kind.CAPTURE:
            return [f"Postgres {settings.postgres_source_database}.{dataset.source_name}, from its log"]
        case Kind.FILES:
            return [str(settings.landing_dir / dataset.source_name)]
        case Kind.STREAM:
            return [f"Kafka, sent by {dataset.source_system}, keyed by {dataset.message_key}"]
        case Kind.MODEL:
            return []


def _schemas(settings: Settings, dataset: Dataset) -> list[str]:
    if dataset.kind is not Kind.STREAM:
        return []
    return [_relative(settings, r.path) for r in releases(dataset, settings.avro_dir)]


def _model(settings: Settings, dataset: Dataset) -> list[str]:
    if dataset.kind is not Kind.MODEL:
        return []
    path = settings.gold_models_dir / dataset.domain / f"{dataset.name}.sql"
    return [_relative(settings, model_path(dataset, settings.gold_models_dir))] if path.exists() else []


def _tasks(settings: Settings, dataset: Dataset) -> Iterator[str]:
    """`<dag>: <task>` of everything that works on the dataset."""
    layer = "gold" if dataset.kind is Kind.MODEL else "silver"
    if dataset.streamed:
        yield "streams: stream"
    elif dataset.kind is not Kind.MODEL:
        yield f"{dataset.domain}: bronze.{dataset.name}"
    yield f"{dataset.domain}: {layer}.{dataset.name}"
    if dataset.warehouse is not None:
        yield f"{dataset.domain}: warehouse.load"
    graph = pipeline_graph(load_contracts(settings.contracts_dir), settings.gold_models_dir)
    if graph[dataset.name]["restatable"]:
        yield f"{dataset.domain}{RESTATE}: {layer}.{dataset.name}"
    yield from (f"maintenance: maintain {table}" for table in table_names(dataset))


def _views(settings: Settings, dataset: Dataset) -> tuple[LiveView, ...]:
    return views_of(dataset, settings.live_views_dir) if dataset.live is not None else ()


def _readers(settings: Settings, dataset: Dataset) -> list[str]:
    """Gold models that read it."""
    contracts = load_contracts(settings.contracts_dir)
    return [d.name for d in contracts.of_kind(Kind.MODEL) if dataset.name in d.inputs]


def _tests(project: Path, dataset: Dataset) -> Iterator[str]:
    """Tests of all streams (for a stream), what carries the dataset's name, and tests of the running parts that use it.

    Unit tests only count by their name: many take a dataset as an example.
    """
    word = re.compile(rf"\b{re.escape(dataset.name)}\b")
    named = [project / folder for folder in STREAM_TESTS if dataset.streamed and (project / folder).is_dir()]
    for path in sorted((project / "tests").rglob("*")):
        if "__pycache__" in path.parts or any(parent in named for parent in path.parents):
            continue
        uses = path.name.startswith("test_") and path.suffix == ".py" and project / "tests" / "unit" not in path.parents
        own = path.stem in (dataset.name, f"test_{dataset.name}")
        if own or (uses and word.search(path.read_text(encoding="utf-8"))):
            named.append(path)
    yield from (str(path.relative_to(project)) for path in named)
