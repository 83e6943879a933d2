"""`headwater source load | change | replay | drop | break`: the systems the demo's data comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from headwater.console import Json, noun, say

app = noun("Load the source systems and replay their events. Repeated, a command does only what is missing.")

DAY_OPTIONS: dict[str, Any] = {"formats": ["%Y-%m-%d"], "metavar": "DATE"}
REPLAY_EXAMPLES = """Examples:

headwater source replay transactions --limit 50000

headwater source replay transactions --from 2017-06-01 --to 2017-07-01

headwater source replay transactions --speed 3600
"""


@app.command()
def load(
    reset: Annotated[bool, typer.Option(help="Empty the tables first; undoes `source change`")] = False,
    as_json: Json = False,
) -> None:
    """Make the tables of the source Postgres (schema retail) and fill them from the package's files.

    Rows that are there already stay as they are.
    """
    from headwater.sources import postgres

    added = postgres.load(reset=reset)
    _say(as_json, {"added": added}, [f"{name:<20} {rows:>8,} rows added" for name, rows in added.items()])


@app.command()
def change(as_json: Json = False) -> None:
    """Apply dated changes to the source: 40 households move income band, 25 products change category.

    They give silver a history: see `valid_from` and `valid_to` in silver.households and silver.products.
    """
    from headwater.sources.changes import apply_changes

    changed = apply_changes()
    _say(as_json, {"changed": changed}, [f"{name:<20} {rows:>8,} rows changed" for name, rows in changed.items()])


@app.command(epilog=REPLAY_EXAMPLES)
def replay(
    dataset: Annotated[str, typer.Argument(help="transactions or coupon_redemptions")],
    rate: Annotated[float | None, typer.Option(min=0.001, help="Records per second")] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Times as fast as it happened: 3600 plays an hour in a second")
    ] = None,
    start: Annotated[datetime | None, typer.Option("--from", help="First day (UTC)", **DAY_OPTIONS)] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="Day to stop before (UTC)", **DAY_OPTIONS)] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many of the selected events")] = None,
    restart: Annotated[bool, typer.Option(help="Send what the topic holds once more (same event ids)")] = False,
    as_json: Json = False,
) -> None:
    """Send a file of the package as events: Avro, keyed by household, idempotent producer, acks=all.

    As fast as it can, unless --rate or --speed say otherwise. What the topic holds already is not sent again, so a
    replay that was interrupted (also by kill -9) goes on where it stopped, and a finished one sends nothing.
    """
    from headwater.sources.pace import FullSpeed, Rate, Speed
    from headwater.sources.replay import Replay, Selection

    if rate and speed:
        raise typer.BadParameter("give --rate or --speed, not both")
    pace = Rate(rate) if rate else Speed(speed) if speed else FullSpeed()
    plan = Replay(dataset, Selection(_day(start), _day(end), limit), restart=restart)
    with _bar(f"{dataset} → {plan.topic}", plan.remaining) as advance:
        result = plan.run(pace, advance)
    _say(
        as_json,
        result.as_dict(),
        [
            f"{result.topic}: {result.sent:,} of {result.selected:,} events sent, "
            f"{result.already_there:,} were there; {result.seconds:.1f} s, {result.records_per_second:,.0f}/s"
        ],
    )


@app.command()
def drop(
    files: Annotated[int, typer.Option(min=1, max=53, help="Into about how many files of whole weeks")] = 4,
    weeks: Annotated[str, typer.Option(metavar="FIRST-LAST", help="Only these weeks, 1 to 53")] = "1-53",
    as_json: Json = False,
) -> None:
    """Drop the promotions (20.9 million rows) as Parquet files into the landing folder.

    A file appears whole, by a rename. Weeks that lie there in a file already are left alone.
    """
    from headwater.sources import promotions

    first, _, last = weeks.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last) <= promotions.WEEKS):
        raise typer.BadParameter("weeks are FIRST-LAST within 1-53, e.g. 1-8", param_hint="--weeks")
    dropped = promotions.drop(files, (int(first), int(last)))
    _say(
        as_json,
        {"files": [asdict(file) for file in dropped]},
        [f"{'written' if f.written else 'there':<8} {f.rows:>10,} rows  {f.path}" for f in dropped],
    )


@app.command("break")
def send_broken(as_json: Json = False) -> None:
    """Send a handful of records to the transactions topic that are broken on purpose.

    Wrong magic byte, cut-off Avro, an unknown schema id, an empty value, 1 MiB of garbage, a negative quantity, a date
    in 2099, and a record without a key. Those that the topic holds already are not sent again. See what came of them
    with `headwater quarantine list`.
    """
    from headwater.sources import broken

    records = broken.send_broken()
    _say(
        as_json,
        {
            "records": [
                {"name": r.record.name, "fault": r.record.fault, "outcome": r.record.outcome, "sent": r.sent}
                for r in records
            ]
        },
        [f"{'sent' if r.sent else 'there':<6} {r.record.name:<18} {r.record.fault}" for r in records],
    )


def _day(value: datetime | None) -> date | None:
    return value.date() if value else None


@contextmanager
def _bar(text: str, total: int) -> Iterator[Any]:
    """A progress bar on standard error, so that standard output stays the result."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(text, total=total)
        yield lambda done: progress.update(task, completed=done)


def _say(as_json: bool, result: dict[str, Any], lines: list[str]) -> None:
    say(as_json, result, "\n".join(lines))
