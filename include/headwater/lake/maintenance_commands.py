"""`headwater table maintain|maintained`: look after the lake's tables, and see what that has done over time."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.table import Table

from headwater.console import Json, console, say, table

SHOWN = ("data_files", "delete_files", "bytes", "rows", "manifests", "snapshots", "plan_seconds", "probe_seconds")


def maintain(
    name: Annotated[str, typer.Argument(help="The table, as gold.fct_sales; its name alone where one layer has it")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing")] = False,
    metadata_only: Annotated[
        bool, typer.Option("--metadata-only", help="Merge manifests and expire snapshots, no more")
    ] = False,
    settled: Annotated[
        int | None, typer.Option(min=0, help="Leave alone what a stream took in within so many minutes; default: 60")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let old rows go, compact, expire snapshots, remove orphan files; what each did, and what came of it.

    It waits for the table's lock, and keeps what streams, builds, tags and branches still need.
    """
    from headwater.contracts.loader import load_dataset
    from headwater.lake.catalog import get_catalog
    from headwater.lake.maintenance import SETTLED, Wish, maintain
    from headwater.lake.references import open_table, table_name
    from headwater.lake.sessions import get_spark, release

    opened = open_table(get_catalog(), name)
    full = table_name(opened)
    dataset = load_dataset(opened.properties.get("headwater.dataset", full.split(".")[1]))
    settles = SETTLED if settled is None else timedelta(minutes=settled)
    wish = Wish(dry_run=dry_run, metadata_only=metadata_only, settled=settles)
    try:
        run = maintain(get_spark(f"maintain {full}"), get_catalog(), dataset, wish, full)[full]
    finally:
        release()
    say(as_json, {"table": full, "dry_run": dry_run, **run}, lambda: _print_run(run))


def _print_run(run: dict[str, Any]) -> None:
    for step, did in run["done"].items():
        typer.echo(f"{step}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in did.items()))
    sides = [run["before"], *([run["after"]] if "after" in run else [])]
    rows = table("", *("before", "after")[: len(sides)])
    for key in run["before"]:
        rows.add_row(key.replace("_", " "), *(f"{side[key]:,}" for side in sides))
    console().print(rows)


def maintained(
    name: Annotated[str | None, typer.Argument(help="The table; default: all")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many runs, newest first")] = 20,
    as_json: Json = False,
) -> None:
    """What maintenance has done over time: files, bytes, snapshots, seconds of a scan, before and after."""
    from headwater.lake.catalog import get_catalog
    from headwater.lake.effects import runs
    from headwater.lake.references import open_table, table_name

    found = runs(None if name is None else table_name(open_table(get_catalog(), name)), limit)
    say(as_json, found, lambda: console().print(_runs_table(found)))


def _runs_table(found: list[dict[str, Any]]) -> Table:
    rows = table("table", "at (UTC)", "seconds", *(name.replace("_", " ") for name in SHOWN))
    for run in found:
        changes = (f"{run['before'][key]:,} → {run['after'][key]:,}" for key in SHOWN)
        rows.add_row(run["table_name"], f"{run['ended_at']:%Y-%m-%d %H:%M}", f"{run['seconds']:.1f}", *changes)
    return rows
