"""`headwater dataset list|show|where`: which datasets there are, what each is, and everything it became."""

from __future__ import annotations

import sys
from shutil import get_terminal_size
from typing import Annotated, Any

import typer

from headwater.console import Json, console, noun, say, table
from headwater.contracts.footprint import footprint
from headwater.contracts.layers import bronze_columns, silver_columns, table_names
from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Column, Dataset, Kind
from headwater.settings import get_settings

app = noun("List datasets, and show what each became.")

Name = Annotated[str, typer.Argument(help="Name of the dataset.")]


@app.command("list")
def list_datasets(as_json: Json = False) -> None:
    """All datasets, by domain and kind."""
    datasets = sorted(load_contracts().datasets.values(), key=lambda d: (d.domain, list(Kind).index(d.kind), d.name))
    say(as_json, [_summary(d) for d in datasets], lambda: _print_list(datasets))


def _print_list(datasets: list[Dataset]) -> None:
    """One line each; on a terminal it is cut to its width, since a description may be long."""
    name, kind, domain = (max(len(str(getattr(d, part))) for d in datasets) for part in ("name", "kind", "domain"))
    for d in datasets:
        line = f"{d.name:<{name}}  {d.kind:<{kind}}  {d.domain:<{domain}}  {d.description}"
        typer.echo(shorten(line, get_terminal_size().columns) if sys.stdout.isatty() else line)


def shorten(line: str, width: int) -> str:
    """The line, cut to the width with an ellipsis."""
    return line if len(line) <= width else line[: width - 1] + "…"


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """One dataset: owner, key, columns per layer, rules, service levels."""
    dataset = load_contracts().get(name)
    say(as_json, _details(dataset), lambda: _print_details(dataset))


def _print_details(dataset: Dataset) -> None:
    out = console()
    out.print(f"[bold]{dataset.name}[/bold] ({dataset.kind}, {dataset.domain}, {dataset.version})")
    out.print(dataset.description)
    out.print(f"owner {dataset.owner}; key {', '.join(dataset.primary_key)}; {_levels(dataset)}\n")
    columns = table("column", "type", "", "class", "description")
    for c in dataset.columns:
        marks = [m for m, on in (("key", c.primary_key), ("required", c.required), ("derived", c.derived)) if on]
        columns.add_row(c.name, str(c.type), ", ".join(marks), c.classification, c.description)
    out.print(columns)
    rules = f"{len(dataset.row_rules)} row rules, {len(dataset.table_rules)} table rules"
    out.print(f"\n{rules}; `headwater dataset where {dataset.name}` lists them")


@app.command()
def where(name: Name, as_json: Json = False) -> None:
    """Everything the dataset became: topic, subject, tables, checks, DAG and tasks, warehouse table, tests."""
    found = footprint(get_settings(), load_contracts().get(name))
    lines = [f"{'' if i else aspect:<12} {name}" for aspect, names in found.items() for i, name in enumerate(names)]
    say(as_json, found, "\n".join(lines))


def _levels(dataset: Dataset) -> str:
    kept = ", ".join(f"{layer} {days} days" for layer, days in dataset.retention_days.items())
    fresh = f"at most {dataset.freshness_seconds} s old, " if dataset.freshness_seconds else ""
    return f"{fresh}kept: {kept}"


def _summary(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "domain": dataset.domain,
        "kind": dataset.kind,
        "version": dataset.version,
        "description": dataset.description,
        "owner": dataset.owner,
        "tables": list(table_names(dataset)),
    }


def _details(dataset: Dataset) -> dict[str, Any]:
    of_layer = {"bronze": bronze_columns, "silver": silver_columns} if dataset.kind is not Kind.MODEL else {}
    return {
        **_summary(dataset),
        "primary_key": list(dataset.primary_key),
        "history": dataset.history,
        "freshness_seconds": dataset.freshness_seconds,
        "latency_seconds": dataset.latency_seconds,
        "retention_days": dict(dataset.retention_days),
        "columns": [_column(c) for c in dataset.columns],
        "layers": {layer: [c.name for c in columns(dataset)] for layer, columns in of_layer.items()},
        "row_rules": [{"name": r.name, "condition": r.expression, "severity": r.severity} for r in dataset.row_rules],
        "table_rules": [{"name": r.name, "metric": r.metric, "severity": r.severity} for r in dataset.table_rules],
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": str(column.type),
        "description": column.description,
        "required": column.required,
        "primary_key": column.primary_key,
        "classification": column.classification,
        "derived": column.derived,
        "references": column.references,
    }
