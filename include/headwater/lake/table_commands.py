"""`headwater table history|show|diff|rollback`: look at the lake's tables, and take one back. Without Spark.

`tag` and `branch` are in `name_commands`, `maintain` and `maintained` in `maintenance_commands`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from headwater.console import Json, console, noun, say, table
from headwater.lake.maintenance_commands import maintain, maintained
from headwater.lake.name_commands import branch, tag

if TYPE_CHECKING:
    from headwater.lake.difference import Difference
    from headwater.lake.inspection import Entry
    from headwater.lake.rollback import Rollback

SAID = 80
"""Characters of a summary key's value that a line shows; `--json` has it whole."""

Name = Annotated[str, typer.Argument(help="The table, as gold.fct_sales; its name alone where one layer has it")]

app = noun("Look at the lake's tables, take one back, keep them fast and small.")
app.command(epilog="Example: headwater table maintain bronze.transactions --dry-run")(maintain)
app.command()(maintained)
app.command()(tag)
app.command(epilog="Example: headwater table branch gold.fct_sales what-if --at 2026-01-31T12:00")(branch)


@app.command()
def history(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first")] = 20,
    as_json: Json = False,
) -> None:
    """Its snapshots: when, what came and went, what names them, and what the platform wrote into them.

    State: main (what readers see, or what led to it), undone (rolled back), kept (by a tag alone), unpublished.
    """
    from headwater.lake.catalog import get_catalog
    from headwater.lake.inspection import snapshots
    from headwater.lake.references import open_table

    found = snapshots(open_table(get_catalog(), name))
    shown = found[:limit]
    left = len(found) - len(shown)

    def tell() -> None:
        console().print(_history_table(shown))
        if left:
            typer.echo(f"and {left:,} older ones (--limit)")

    say(as_json, [{**asdict(one), "committed_at": one.committed_at.isoformat()} for one in shown], tell)


def _history_table(found: list[Entry]) -> Table:
    counts = ("rows_added", "rows_removed", "files_added", "files_removed")
    columns = ("rows +", "rows -", "files +", "files -", "rows", "state", "names", "says")
    rows = table("snapshot", "at (UTC)", "operation", *columns)
    for one in found:
        rows.add_row(
            str(one.snapshot_id),
            one.committed_at.replace(tzinfo=None).isoformat(timespec="milliseconds"),  # as a reference takes it
            one.operation,
            *(f"{getattr(one, count):,}" for count in counts),
            "" if one.rows is None else f"{one.rows:,}",
            one.state,
            escape(", ".join(one.refs)),
            escape("; ".join(f"{key} {_shortened(value)}" for key, value in one.says.items())),
        )
    return rows


def _shortened(text: str) -> str:
    return text if len(text) <= SAID else text[: SAID - 1] + "…"


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Columns, partitions, properties, size, the newest snapshot, tags and branches."""
    from headwater.lake.catalog import get_catalog
    from headwater.lake.inspection import description
    from headwater.lake.references import open_table

    facts = description(open_table(get_catalog(), name))
    say(as_json, facts, lambda: _print_description(facts))


def _print_description(facts: dict[str, Any]) -> None:
    out, size, newest = console(), facts["size"], facts["newest"]
    out.print(f"[bold]{escape(facts['table'])}[/bold] (Iceberg format {facts['format_version']})")
    out.print(escape(facts["location"]))
    out.print(
        ", ".join(
            f"{'?' if number is None else f'{number:,}'} {what.replace('_', ' ')}" for what, number in size.items()
        )
    )
    out.print(f"newest: {newest['snapshot_id']} of {newest['committed_at']}" if newest else "nothing was committed yet")
    out.print(f"{facts['snapshots']:,} snapshots; partitions: {', '.join(facts['partitions']) or 'none'}")
    for word in ("order", "refs", "properties"):
        values = facts[word]
        texts = [f"{key} = {value}" for key, value in values.items()] if isinstance(values, dict) else values
        if texts:
            out.print(escape(f"{word}: {', '.join(texts)}"))
    columns = table("column", "type", "", "description")
    for column in facts["columns"]:
        mark = "required" if column["required"] else ""
        columns.add_row(column["name"], escape(column["type"]), mark, escape(column["description"]))
    out.print()
    out.print(columns)


@app.command(epilog="Example: headwater table diff gold.fct_sales 2026-01-31T12:00 main")
def diff(
    name: Name,
    before: Annotated[str, typer.Argument(help="A snapshot's id, a tag, or a time in UTC")],
    after: Annotated[str, typer.Argument(help="The same")] = "main",
    as_json: Json = False,
) -> None:
    """Rows that came and went between two snapshots, per partition, and what became of the columns.

    A changed row counts as one that went and one that came. Compaction (the same rows in other files) is no difference.
    """
    from headwater.lake.catalog import get_catalog
    from headwater.lake.difference import difference
    from headwater.lake.references import open_table, resolve, table_name

    opened = open_table(get_catalog(), name)
    ends = [resolve(opened, reference) for reference in (before, after)]
    found = difference(opened, *ends)
    facts = {
        "table": table_name(opened),
        "before": ends[0].snapshot_id,
        "after": ends[1].snapshot_id,
        "rows_added": found.added,
        "rows_removed": found.removed,
        **asdict(found),
    }
    say(as_json, facts, lambda: _print_difference(found))


def _print_difference(found: Difference) -> None:
    if found.partitions:
        rows = table("partition", "rows +", "rows -")
        for one in found.partitions:
            rows.add_row(escape(one.partition) or "(all)", f"{one.added:,}", f"{one.removed:,}")
        console().print(rows)
    typer.echo(f"{found.added:,} rows came, {found.removed:,} went")
    for column in found.columns:
        detail = f": {column.before or ''} → {column.after or ''}" if column.before or column.after else ""
        typer.echo(f"column {column.column} {column.change}{detail}")


@app.command(epilog="Example: headwater table rollback gold.fct_sales before-the-repair --yes")
def rollback(
    name: Name,
    to: Annotated[str, typer.Argument(help="A snapshot's id, a tag, or a time in UTC")],
    yes: Annotated[bool, typer.Option("--yes/--dry-run", help="Do it, or only say what it would do")] = False,
    as_json: Json = False,
) -> None:
    """Make an earlier snapshot the newest again; without --yes, only say what that would undo.

    Nothing is deleted: until its snapshots expire, what was undone can be brought back the same way.
    """
    from headwater.contracts.loader import load_contracts
    from headwater.lake.catalog import get_catalog
    from headwater.lake.rollback import plan, roll_back

    done = (roll_back if yes else plan)(get_catalog(), load_contracts(), name, to)
    say(as_json, _rollback_facts(done, yes), lambda: _print_rollback(done, yes))


def _rollback_facts(done: Rollback, yes: bool) -> dict[str, Any]:
    return {
        "table": done.table,
        "done": yes and not done.changes_nothing,
        "from": done.head.snapshot_id,
        "to": done.target.snapshot_id,
        "rows_before": done.rows[0],
        "rows_after": done.rows[1],
        "undone": [snapshot.snapshot_id for snapshot in done.undone],
        "restored": [snapshot.snapshot_id for snapshot in done.restored],
        "follows": list(done.follows),
    }


def _print_rollback(done: Rollback, yes: bool) -> None:
    from headwater.lake.inspection import entry

    if done.changes_nothing:
        typer.echo(f"{done.table} is at snapshot {done.target.snapshot_id} already: nothing to undo")
        return
    for state, found in (("undone", done.undone), ("restored", done.restored)):
        if found:
            typer.echo(f"{state}:")
            console().print(_history_table([entry(snapshot, state) for snapshot in found]))
    before, after = ("?" if rows is None else f"{rows:,}" for rows in done.rows)
    typer.echo(f"{done.table}: {before} rows before, {after} after")
    for sentence in done.follows:
        typer.echo(f"- {sentence}")
    if yes:
        back = f"headwater table rollback {done.table} {done.head.snapshot_id} --yes"
        typer.echo(f"done; until its snapshots expire, `{back}` brings back what was undone")
    else:
        typer.echo("nothing was changed: --yes does it")
