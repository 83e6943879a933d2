"""`headwater up | down | status | logs | doctor`: the embedded stack."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.embedded import downloads, stack
from headwater.settings import get_settings

app = typer.Typer(help="The embedded stack.", no_args_is_help=True)


def _report(name: str, text: str) -> None:
    typer.echo(f"{name:<11} {text}")


@app.command()
def up(
    services: Annotated[list[str] | None, typer.Argument(help="Only these, and what they need")] = None,
) -> None:
    """Start (or repair) the embedded stack, and wait until it serves."""
    stack.up(services or [], _report, _Fetching())


class _Fetching:
    """Tells of the downloads, a line for each tenth."""

    def __init__(self) -> None:
        self._told = -1

    def __call__(self, done: int, total: int) -> None:
        tenth = done * 10 // total if total else 10
        if tenth != self._told:
            self._told = tenth
            _report("downloads", f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB")


@app.command()
def down(
    wipe: Annotated[bool, typer.Option(help="Forget all data and generated passwords too; downloads stay")] = False,
) -> None:
    """Stop everything that belongs to the embedded stack."""
    stack.down(_report, wipe)
    _report("stack", f"nothing of {get_settings().home} runs")
