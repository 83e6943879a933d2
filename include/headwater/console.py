"""How the commands look: one kind of noun, one `--json`, one kind of table.

What is printed for a person is as wide as the terminal, with long cells folded. Where the output goes into a file or
a pipe nothing is folded or cut off, however long. With `--json` a command prints one line, and nothing else, on
standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

UNBOUNDED = 100_000
"""Characters of a line where there is no terminal: more than any value that is printed has."""

Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead.")]


def noun(text: str) -> typer.Typer:
    """The app of a noun, with `text` as its help."""
    return typer.Typer(help=text, no_args_is_help=True, add_completion=False)


def console() -> Console:
    """Standard output, for a person or for a pipe."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else UNBOUNDED)


def table(*columns: str) -> Table:
    """An empty table without borders; long cells are folded, never cut off."""
    return Table(*folded(columns), box=None, pad_edge=False)


def folded(columns: tuple[str, ...]) -> list[Column]:
    """Columns of these names that fold what is too long for them."""
    return [Column(name, overflow="fold") for name in columns]


def say(as_json: bool, facts: Any, text: str | Callable[[], None]) -> None:
    """Print `facts` as one line of JSON, or else the text (or what the function prints)."""
    if as_json:
        typer.echo(json.dumps(facts, default=str, ensure_ascii=False))
    elif callable(text):
        text()
    else:
        typer.echo(text)
