"""`headwater metric list|sql`: the figures with a name, and what they become."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from headwater.console import Json, console, noun, say, table
from headwater.contracts.loader import load_contracts

app = noun("Figures with a name, declared in the contracts of gold.")


@app.command("list")
def list_metrics(as_json: Json = False) -> None:
    """Every metric, with its unit and dimensions."""
    from headwater.semantics.catalogue import metrics_of

    metrics = metrics_of(load_contracts())

    def show() -> None:
        rows = table("metric", "label", "unit", "dataset", "dimensions")
        for name, metric in metrics.items():
            by = ", ".join(filter(None, (metric.time, *metric.dimensions)))
            rows.add_row(name, metric.label, metric.unit, metric.dataset, by)
        console().print(rows)

    say(as_json, [asdict(metric) for metric in metrics.values()], show)


@app.command()
def sql(
    metrics: Annotated[list[str], typer.Argument(help="One or more, of one dataset.")],
    by: Annotated[list[str] | None, typer.Option(help="A dimension; repeat.")] = None,
    grain: Annotated[str, typer.Option(help="day, week, month, quarter or year.")] = "",
    as_json: Json = False,
) -> None:
    """Print the SQL that a metric becomes."""
    from headwater.errors import TerminalError
    from headwater.semantics.compiling import compile_question
    from headwater.semantics.question import Grain, Question

    if grain and grain not in set(Grain):
        raise TerminalError(f"'{grain}' is no grain", remedy=", ".join(Grain))
    question = Question(tuple(metrics), tuple(by or ()), grain=Grain(grain) if grain else None)
    compiled = compile_question(load_contracts(), question)
    say(as_json, {"sql": compiled.sql, "parameters": dict(compiled.parameters)}, compiled.sql)
