"""`headwater demo`: the whole path on real data, from an empty machine to answers."""

from __future__ import annotations

import sys
from datetime import date, datetime
from typing import Annotated

import typer
from rich.console import Console

from headwater.console import noun
from headwater.demo.screen import show_report
from headwater.demo.steps import Steps, start_platform
from headwater.settings import get_settings

LOG_WIDTH = 120
"""Characters of a line where the output is no terminal: the report's tables fit."""

app = noun("The demo.")


@app.command()
def demo(
    to: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only events before this date: a smaller and quicker demo"),
    ] = None,
) -> None:
    """Start the platform, move a grocery chain's year of data through it, and report what came out.

    Run again, it does only what is missing. The platform is left running; `headwater down` stops it. Ends with 1 if
    anything is not as it should be.
    """
    until: date | None = to.date() if to else None
    console = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    start_platform(get_settings(), console)
    get_settings.cache_clear()  # the first start has made the passwords
    settings = get_settings()
    steps = Steps(settings, console, until)
    steps.run()
    if not show_report(console, settings, steps.timings, until):
        raise typer.Exit(1)
