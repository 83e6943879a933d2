"""The reference of gold for people, `docs/reference/gold.md`: what each table holds, written from its contract.

`headwater contract generate` writes it; a test holds it in step with the contracts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headwater.contracts.model import Column, Contracts, Dataset, Kind, TableRule
from headwater.settings import Settings

HEAD = """# Gold

What analysts, dashboards and agents read: `lake.gold.<table>` in Iceberg and `gold.<table>` in ClickHouse hold the same
rows. Written from `schemas/contracts/` by `headwater contract generate`; correct a contract, not this page. How a table
is computed stands in `spark_jobs/gold/<domain>/<table>.sql`; that it is right is shown by `tests/truth/`.
"""


def reference_path(settings: Settings) -> Path:
    """Where the page lies."""
    return settings.project_dir / "docs" / "reference" / "gold.md"


def render_reference(contracts: Contracts) -> str:
    """The page: a table of contents, then a section per gold dataset, by name."""
    models = contracts.of_kind(Kind.MODEL)
    lines = [HEAD, "| table | what it holds | one row per |", "| --- | --- | --- |"]
    lines += [f"| [{m.name}](#{m.name}) | {m.business_name} | {', '.join(m.primary_key)} |" for m in models]
    for model in models:
        lines += ["", *_section(model)]
    return "\n".join(lines) + "\n"


def _section(model: Dataset) -> Iterator[str]:
    yield f"## {model.name}"
    yield ""
    yield " ".join(model.description.split())
    yield ""
    yield from ("| column | type | meaning |", "| --- | --- | --- |")
    for column in model.columns:
        yield f"| {column.name} | {column.type} | {'. '.join(_meaning(column))} |"
    yield ""
    if model.metrics:
        told = (f"**{m.label}** (`{m.name}`, {m.unit}): {m.description}" for m in model.metrics)
        yield f"Metrics: {'. '.join(told)}."
        yield ""
    rules = [_rule(rule) for rule in model.table_rules]
    inputs = [f"{name} ({spread})" for name, spread in model.spread.items()] or ["nothing: it is computed"]
    yield f"Made from {', '.join(inputs)}. Owner: {model.owner}. Checked before it is published: {', '.join(rules)}."


def _meaning(column: Column) -> Iterator[str]:
    yield column.description.replace("|", "\\|")
    if column.primary_key:
        yield "Key"
    if column.references:
        yield f"Refers to {column.references}"
    if column.enum:
        yield f"One of: {', '.join(column.enum)}"
    if not column.required:
        yield "May be null"
    if column.classification != "internal":
        yield column.classification.capitalize()


def _rule(rule: TableRule) -> str:
    return f"{rule.name} ({rule.severity})" if rule.severity != "error" else rule.name
