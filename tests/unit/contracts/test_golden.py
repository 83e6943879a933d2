"""What each target makes of the two sample contracts, kept as files that can be read and reviewed.

After a wanted change: `UPDATE_GOLDEN=1 pytest tests/unit/contracts/test_golden.py`, and look at the diff.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.contracts import clickhouse, iceberg, quality
from headwater.contracts.avro import avro_schema
from headwater.contracts.graph import pipeline_graph, render_graph
from headwater.contracts.layers import columns_of, table_names
from headwater.contracts.model import Contracts, Dataset, TableRule
from headwater.contracts.releases import render

GOLDEN = Path(__file__).parent / "golden"


def _iceberg(dataset: Dataset) -> str:
    parts = []
    for table in table_names(dataset):
        schema = iceberg.iceberg_schema(columns_of(dataset, table))
        spec = iceberg.partition_spec(dataset, table, schema)
        properties = iceberg.table_properties(dataset, table)
        parts += [table, str(schema), str(spec), *(f"{k} = {v}" for k, v in properties.items()), ""]
    return "\n".join(parts)


def _clickhouse(dataset: Dataset) -> str:
    return ";\n\n".join(clickhouse.create_table_sql(dataset, t) for t in clickhouse.warehouse_tables(dataset)) + ";\n"


def _quality(dataset: Dataset) -> str:
    rows = [f"{r.name} [{r.severity}]: {r.expression}" for r in dataset.row_rules]
    tables = [f"{r.name} [{r.severity}] {_bounds(r)} {r.unit}: {quality.metric_query(r)}" for r in dataset.table_rules]
    return "\n".join(["-- row rules", *rows, "", "-- table rules", *tables, ""])


def _bounds(rule: TableRule) -> str:
    return f"{rule.minimum} to {rule.maximum}{' exclusive' if rule.exclusive else ''}"


TARGETS: dict[str, tuple[str, Callable[[Dataset], str]]] = {
    "every_type.avsc": ("every_type", lambda d: render(avro_schema(d))),
    "every_type.iceberg.txt": ("every_type", _iceberg),
    "by_letter.iceberg.txt": ("by_letter", _iceberg),
    "every_type.clickhouse.sql": ("every_type", _clickhouse),
    "by_letter.clickhouse.sql": ("by_letter", _clickhouse),
    "every_type.quality.txt": ("every_type", _quality),
    "by_letter.quality.txt": ("by_letter", _quality),
}


@pytest.mark.parametrize("name", TARGETS)
def test_target_is_as_the_golden_file(name: str, contracts: Contracts) -> None:
    dataset, render_target = TARGETS[name]
    _compare(GOLDEN / name, render_target(contracts.get(dataset)))


def test_graph_is_as_the_golden_file(contracts: Contracts) -> None:
    _compare(GOLDEN / "graph.py.txt", render_graph(pipeline_graph(contracts, GOLDEN / "models")))


def _compare(path: Path, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text
