"""Columns of gold by the columns they are computed from, read out of the models' SQL by sqlglot.

An edge means that the value of one goes into the value of the other; columns that only decide which rows there are
(joins, filters, groups) are not in it. The contracts say the same by hand (`transformSourceObjects`).
"""

from __future__ import annotations

from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.lineage import Node, lineage
from sqlglot.optimizer import build_scope, qualify

from headwater.contracts.graph import model_path
from headwater.contracts.layers import silver_columns
from headwater.contracts.model import Contracts, Dataset, Kind

DIALECT = "spark"
Place = tuple[str, str]
"""Dataset and column."""


def column_sources(contracts: Contracts, models_dir: Path) -> dict[Place, frozenset[Place]]:
    """Per column of every dataset those it is computed from; of a source's own column none."""
    schema: dict[str, object] = {
        "silver": {d.name: _types(d) for d in contracts.datasets.values() if d.kind is not Kind.MODEL},
        "gold": {d.name: _types(d) for d in contracts.of_kind(Kind.MODEL)},
    }
    found: dict[Place, frozenset[Place]] = {}
    for name, dataset in sorted(contracts.datasets.items()):
        if dataset.kind is Kind.MODEL:
            sql = model_path(dataset, models_dir).read_text(encoding="utf-8")
            for column, sources in _of_model(sql, tuple(c.name for c in dataset.columns), schema).items():
                found[name, column] = sources
        else:
            own = {c.name for c in dataset.columns}
            for declared in dataset.columns:
                found[name, declared.name] = frozenset((name, s) for s in declared.sources if s in own)
    return found


def _of_model(sql: str, columns: tuple[str, ...], schema: dict[str, object]) -> dict[str, frozenset[Place]]:
    statement = qualify.qualify(
        sqlglot.parse_one(sql, read=DIALECT), dialect=DIALECT, schema=schema, validate_qualify_columns=False
    )
    scope = build_scope(statement)
    return {name: frozenset(_leaves(lineage(name, statement, schema=schema, dialect=DIALECT, scope=scope)))
            for name in columns}  # fmt: skip


def _leaves(node: Node) -> set[Place]:
    found: set[Place] = set()
    for one in node.walk():
        if not one.downstream and isinstance(one.source, exp.Table):
            found.add((one.source.name, one.name.rpartition(".")[2].strip('`"').lower()))
    return found


def _types(dataset: Dataset) -> dict[str, str]:
    columns = dataset.columns if dataset.kind is Kind.MODEL else silver_columns(dataset)
    return {column.name: "string" for column in columns}
