"""The command line: `headwater <noun> <verb>`.

Each noun is a typer app in its own package's `commands.py`. They are imported only when they are called, so that
`headwater --help` stays fast; a new noun is one line in `COMMANDS`.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from headwater.errors import HeadwaterError


class Entry(NamedTuple):
    """Where a command lives: the module with its typer `app`; `verb` picks one command out of it."""

    module: str
    help: str
    verb: str = ""


STACK = "headwater.embedded.commands"
COMMANDS = {
    "up": Entry(STACK, "Start (or repair) the embedded stack, and wait until it serves.", "up"),
    "down": Entry(STACK, "Stop everything that belongs to the embedded stack.", "down"),
    "status": Entry(STACK, "What runs, where, and how much memory it takes.", "status"),
    "logs": Entry(STACK, "Show or follow the log of a service.", "logs"),
    "doctor": Entry(STACK, "Check this machine and say what to mend.", "doctor"),
    "contract": Entry("headwater.contracts.commands", "Check, plan, apply and generate from the contracts."),
    "dataset": Entry("headwater.contracts.dataset_commands", "List datasets, and show what each became."),
    "source": Entry("headwater.sources.commands", "Load the source systems and replay their events."),
    "cdc": Entry("headwater.cdc.commands", "Capture the changes of source tables."),
    "api": Entry("headwater.api.commands", "Keys of the ingestion API."),
    "stream": Entry("headwater.streaming.commands", "Start and watch the streams."),
    "ledger": Entry("headwater.streaming.commands", "Which offsets of which topic are where.", "ledger"),
    "quarantine": Entry(
        "headwater.streaming.quarantine_commands", "What could not be read, or did not pass: list, mend, replay."
    ),
    "spark": Entry("headwater.lake.commands", "What spark-submit must be told to run the jobs."),
    "table": Entry("headwater.lake.table_commands", "Look at the lake's tables, take one back, look after them."),
    "policy": Entry("headwater.policy.commands", "Who sees what of which dataset: check, test, plan, apply, explain."),
    "identity": Entry("headwater.identity.commands", "People and service accounts, and the groups that give a role."),
    "bi": Entry("headwater.bi.commands", "Dashboards for BI tools: Grafana, Superset."),
    "metric": Entry("headwater.semantics.commands", "Figures with a name: list them, and their SQL."),
    "audit": Entry("headwater.audit.commands", "Who asked for or changed what: verify, search, export."),
    "demo": Entry("headwater.demo.commands", "The whole path on real data, then a report.", "demo"),
    "query": Entry("headwater.warehouse.commands", "Ask the warehouse in SQL.", "query"),
}


class LazyGroup(TyperGroup):
    """Lists the commands from the table, and imports one when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What `--help` needs of a command: its name and its one line."""
        entry = COMMANDS.get(cmd_name)
        return TyperCommand(cmd_name, help=entry.help) if entry else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself, imported now."""
        name, stub, rest = super().resolve_command(ctx, args)
        return name, _load(COMMANDS[name]) if name and stub else stub, rest


def _load(entry: Entry) -> Any:
    command = typer.main.get_command(importlib.import_module(entry.module).app)
    return command.commands[entry.verb] if entry.verb and isinstance(command, TyperGroup) else command


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def _headwater() -> None:
    """Kafka and Postgres into an Iceberg lake, into ClickHouse."""


def main() -> None:
    """Run the command line; an error of the platform is printed as what, where and what to do, without a traceback."""
    try:
        app()
    except HeadwaterError as error:
        typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
        typer.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
