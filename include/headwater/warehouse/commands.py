"""`headwater query`: ask the warehouse in SQL."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headwater.console import console, folded, noun

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

app = noun("Ask the warehouse.")

MAX_ROWS = 1000


class OutputFormat(StrEnum):
    """How `query` prints its answer."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.callback()
def _warehouse() -> None:
    """Ask the warehouse."""


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="A SELECT, or any other question; it runs as the read-only user.")],
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the answer.")] = OutputFormat.TABLE,
    limit: Annotated[int, typer.Option(min=1, help="Print at most this many rows, and say so.")] = MAX_ROWS,
) -> None:
    """Ask the warehouse in SQL."""
    from headwater.warehouse.client import explained, reader

    client = reader()
    try:
        columns: tuple[str, ...] = ()
        rows: list[Sequence[Any]] = []
        with explained("query"):
            # One row more than is printed tells that there are more; the stream is left there and so cancelled.
            with client.query_row_block_stream(sql) as stream:
                columns = tuple(stream.source.column_names)
                for block in stream:
                    rows.extend(block[: limit + 1 - len(rows)])
                    if len(rows) > limit:
                        break
            columns = columns or _column_names(client, sql)
    finally:
        client.close()
    _print(columns, rows[:limit], output)
    if len(rows) > limit:
        typer.secho(f"Only the first {limit} rows are shown; --limit shows more.", fg="yellow", err=True)


def _column_names(client: Client, sql: str) -> tuple[str, ...]:
    """Names for an answer without rows: ClickHouse's Native format says nothing at all then."""
    header = client.raw_query(sql, fmt="JSONCompactEachRowWithNames").split(b"\n", 1)[0]
    return tuple(json.loads(header)) if header else ()


def _print(columns: tuple[str, ...], rows: Sequence[Sequence[Any]], output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        records = [dict(zip(columns, row, strict=True)) for row in rows]
        typer.echo(json.dumps(records, default=str, ensure_ascii=False, indent=2))
    elif output is OutputFormat.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        _print_table(columns, rows)


def _print_table(columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(*folded(columns))
    for index, column in enumerate(table.columns):
        numbers = all(isinstance(row[index], (int, float)) or row[index] is None for row in rows)
        column.justify = "right" if rows and numbers else "left"
    for row in rows:
        # Text, not markup: brackets in the data are data.
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console().print(table)
