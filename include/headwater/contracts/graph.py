"""What depends on what, written for the DAGs as plain Python.

A DAG file is parsed every few seconds, so it must not read contracts. `headwater contract generate` writes this
module's answer to `dags/graph.py`, which is committed; a test holds it in step with the contracts.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp

from headwater.contracts.model import Contracts, Dataset, Kind
from headwater.errors import ContractError

PLATFORM_DAGS = ("ledger", "maintenance", "quarantine", "streams")
RESTATE = "_restate"
DAG_NAME = re.compile(r"[a-z][a-z0-9_]*")

HEADER = '''"""Datasets, and the tables each is made from. Written by `headwater contract generate`; do not edit."""

from typing import Any

DOMAINS: list[str] = {domains}

DATASETS: dict[str, dict[str, Any]] = '''


def model_path(dataset: Dataset, models_dir: Path) -> Path:
    """The SQL file of a gold model. Raises `ContractError` where it is missing."""
    path = models_dir / dataset.domain / f"{dataset.name}.sql"
    if not path.is_file():
        raise ContractError(
            f"gold dataset {dataset.name} has no model", where=str(path), remedy="write its SELECT into that file"
        )
    return path


def model_inputs(sql: str) -> tuple[str, ...]:
    """Tables a model reads, as `<layer>.<dataset>`, sorted. Names of its own CTEs are not tables."""
    tables = sqlglot.parse_one(sql, read="spark").find_all(exp.Table)
    return tuple(sorted({f"{table.db}.{table.name}" for table in tables if table.db}))


def pipeline_graph(contracts: Contracts, models_dir: Path) -> dict[str, dict[str, Any]]:
    """Per dataset: domain, kind, inputs (as `<layer>.<dataset>`), whether a range of dates can be restated.

    Raises `ContractError` for a domain whose name cannot be that of its DAG, and for a model without SQL.
    """
    graph: dict[str, dict[str, Any]] = {}
    for name, dataset in sorted(contracts.datasets.items()):
        _check_domain(dataset)
        if dataset.kind is Kind.MODEL:
            read = model_inputs(model_path(dataset, models_dir).read_text())
            inputs = tuple(sorted({*read, *_referred(dataset, contracts)}))
            restatable = dataset.change_column is not None
        else:
            inputs = () if dataset.streamed else (f"bronze.{name}",)
            restatable = dataset.kind is Kind.STREAM
        graph[name] = {
            "description": " ".join(dataset.description.split()),
            "domain": dataset.domain,
            "kind": dataset.kind.value,
            "inputs": inputs,
            "restatable": restatable,
        }
    return graph


def _check_domain(dataset: Dataset) -> None:
    """A domain gives its name to two DAGs."""
    if dataset.domain in PLATFORM_DAGS or dataset.domain.endswith(RESTATE) or not DAG_NAME.fullmatch(dataset.domain):
        raise ContractError(
            f"the domain cannot be called '{dataset.domain}'",
            where=str(dataset.path),
            remedy=f"its DAGs are <domain> and <domain>{RESTATE}: lower-case letters, digits and _, "
            f"not {' or '.join(PLATFORM_DAGS)}, not ending with {RESTATE}",
        )


def _referred(dataset: Dataset, contracts: Contracts) -> set[str]:
    """Gold tables that the dataset's checks look keys up in: they must be there before it is judged."""
    names = {column.references.split(".")[0] for column in dataset.columns if column.references}
    models = {other.name for other in contracts.of_kind(Kind.MODEL)} - {dataset.name}
    return {f"gold.{name}" for name in names & models}


def render_graph(graph: dict[str, dict[str, Any]]) -> str:
    """The text of `dags/graph.py`."""
    literal = json.dumps(graph, indent=4, ensure_ascii=False)
    for json_word, python_word in ((": true", ": True"), (": false", ": False")):
        literal = literal.replace(json_word, python_word)
    domains = json.dumps(sorted({dataset["domain"] for dataset in graph.values()}))
    return HEADER.format(domains=domains) + literal + "\n"
