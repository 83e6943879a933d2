"""How the demo's report looks in a terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import date

from rich.console import Console
from rich.table import Table

from headwater.demo.answers import ANSWERS
from headwater.demo.report import Check, Layers, checks, gather
from headwater.demo.steps import Timing
from headwater.settings import LOOPBACK, Settings
from headwater.warehouse.client import reader


def show_report(console: Console, settings: Settings, timings: Sequence[Timing], until: date | None) -> bool:
    """Print the report; True when every check has passed."""
    begun = time.monotonic()
    findings = gather(settings, until)
    answers = answered()
    timings = (*timings, Timing("this report: counts, checks, answers", time.monotonic() - begun))
    found = checks(findings)
    console.rule("[bold]report")
    console.print(_layer_table(findings.layers))
    console.print(_timing_table(timings))
    _print_quarantine(console, findings.quarantine)
    for table in answers:
        console.print()
        console.print(table)
    _print_checks(console, found)
    _print_where(console, settings)
    return all(check.passed for check in found)


def _layer_table(layers: Sequence[Layers]) -> Table:
    table = Table(title="rows per layer", title_justify="left", show_edge=False)
    table.add_column("dataset")
    for name in ("bronze", "silver", "gold", "clickhouse"):
        table.add_column(name, justify="right")
    for row in layers:
        table.add_row(row.dataset, *(_count(n) for n in (row.bronze, row.silver, row.gold, row.clickhouse)))
    return table


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _timing_table(timings: Sequence[Timing]) -> Table:
    table = Table(title="time per stage", title_justify="left", show_edge=False)
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    for timing in timings:
        table.add_row(timing.step, f"{timing.seconds:.0f}")
    table.add_row("all, from healthy services to the end of this report", f"{sum(t.seconds for t in timings):.0f}")
    return table


def _print_quarantine(console: Console, quarantine: Counter[str]) -> None:
    console.print("\n[italic]quarantine[/] (broken on purpose; `headwater quarantine list`)")
    for reason, count in sorted(quarantine.items()):
        console.print(f"  {count}  {reason}", highlight=False)


def answered() -> list[Table]:
    """The questions of the business, each with what ClickHouse answers."""
    tables = []
    client = reader()
    try:
        for answer in ANSWERS:
            result = client.query(answer.sql)
            table = Table(title=answer.question, title_justify="left", show_edge=False)
            for name in result.column_names:
                table.add_column(name)
            for row in result.result_rows:
                table.add_row(*(f"{value}" for value in row))
            tables.append(table)
    finally:
        client.close()
    return tables


def _print_checks(console: Console, found: Sequence[Check]) -> None:
    console.print("\n[italic]checks[/]")
    for check in found:
        mark = "[green]passed[/]" if check.passed else "[red]FAILED[/]"
        console.print(f"  {mark}  {check.name}: {check.found}", highlight=False)


def _print_where(console: Console, settings: Settings) -> None:
    secrets = settings.home / "secrets.env"
    text = f"""
[italic]where to look[/] (passwords: {secrets})
  Airflow     http://{LOOPBACK}:{settings.airflow_port}   user admin
  ClickHouse  http://{LOOPBACK}:{settings.clickhouse_port}   user {settings.clickhouse_reader_user}
  MCP         http://{LOOPBACK}:{settings.mcp_port}/mcp
  events      http://{LOOPBACK}:{settings.api_port}/v1/events/transactions (docs/how-to/send-events.md)

[italic]try next[/] (`. .venv/bin/activate` first)
  headwater query "SELECT department, sum(sales_value) FROM gold.mart_finance_discounts GROUP BY ALL ORDER BY 2 DESC"
  headwater dataset where transactions
  headwater ledger
  headwater status                    make down stops everything
"""  # noqa: S608 - a line to type, not to run
    console.print(text, highlight=False)
