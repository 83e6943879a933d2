"""`headwater cdc apply | status | resnapshot | verify | remove`: tables of the source as streams of changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from headwater.console import Json, console, noun, say, table
from headwater.settings import Settings, get_settings

if TYPE_CHECKING:
    from headwater.cdc.applying import Change
    from headwater.cdc.connector import Capture
    from headwater.cdc.status import Report
    from headwater.cdc.verification import Verified

app = noun("Capture the changes of source tables: Debezium in a Kafka Connect worker, as the contracts ask for it.")

Datasets = Annotated[
    list[str] | None, typer.Option("--dataset", help="Only this captured dataset (repeatable); else all.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@app.command()
def apply(dataset: Datasets = None, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Bring source, topics and connector to what the contracts ask for, and wait until it runs.

    Repeating it changes nothing; a task that has failed is started again. With --dataset, what is captured already
    stays so, and other contracts that ask for it wait.
    """
    from headwater.cdc import applying

    settings = get_settings()
    capture = applying.chosen(settings, dataset or ())
    changes = applying.plan(settings, capture) if dry_run else list(_told(applying.apply(settings, capture), as_json))
    facts = {"connector": capture.connector, "tables": capture.tables, "changes": [one.as_json() for one in changes]}
    total = f"{len(changes)} changes" if changes else "nothing to do: all is as the contracts say"

    def tell() -> None:
        for one in changes if dry_run else ():
            typer.echo(f"{one.place:<10} {one.what}")
        typer.echo(f"{total}{' would be made' if dry_run and changes else ''}")

    say(as_json, facts, tell)


@app.command()
def status(dataset: Datasets = None, as_json: Json = False) -> None:
    """What the connector does, how far it is behind, and what arrived last. Exit code 1 when it does not run."""
    from headwater.cdc.status import look

    report = look(get_settings(), _capture(get_settings(), dataset))
    say(as_json, report.as_json(), lambda: _print_status(report))
    if not report.good:
        raise typer.Exit(1)


@app.command()
def supervise(as_json: Json = False) -> None:
    """One look at worker and connector, as the DAG `streams` does it: start what is lost, has failed or stands still.

    With pauses that double, and within HEADWATER_STREAM_RESTART_BUDGET; `headwater cdc apply` begins anew.
    """
    from headwater.cdc.supervising import supervise as once

    look = once(get_settings())
    if look is None:
        say(as_json, {}, "no contract captures changes")
        return
    done = f" → {look.did}" if look.did else ""
    say(as_json, look.facts(), f"{look.connector}: {look.found}{done} {look.note or look.reason}")


@app.command()
def resnapshot(
    dataset: Datasets = None,
    wait: Annotated[bool, typer.Option(help="Wait until every table is read.")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")] = 3600.0,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Read tables once more, in chunks, while their changes go on streaming.

    Rows that the source deleted without the connector seeing it are not found this way: `headwater cdc verify` names
    them.
    """
    from headwater.cdc import snapshots

    settings = get_settings()
    capture = _capture(settings, dataset)
    if dry_run:
        say(as_json, {"tables": capture.tables}, "\n".join(f"would read {name} anew" for name in capture.tables))
        return
    read = snapshots.resnapshot(settings, capture, timeout if wait else None)
    lines = [f"{name}: {'asked for' if rows is None else f'{rows:,} rows read'}" for name, rows in read.items()]
    say(as_json, {"rows": read}, "\n".join(lines))


@app.command()
def verify(
    dataset: Annotated[str, typer.Argument(help="Name of the captured dataset.")],
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for silver to come up to the source; 0: compare as it is.")
    ] = 1200.0,
    limit: Annotated[int, typer.Option(min=0, help="Rows to name at most, of each kind.")] = 100,
    as_json: Json = False,
) -> None:
    """Compare the source with silver by counts and hashes of key ranges, and name the rows that differ.

    Exit code 1 where a row is missing, is too many or differs.
    """
    from headwater.cdc.verification import verify as compare

    found = compare(get_settings(), dataset, wait=wait, limit=limit)
    say(as_json, found.as_json(), lambda: _print_verified(found))
    if not found.equal:
        raise typer.Exit(1)


@app.command()
def remove(
    yes: Annotated[bool, typer.Option("--yes", help="Do it: the position in the source's log is given up.")] = False,
    as_json: Json = False,
) -> None:
    """Stop capturing: remove connector, slot and publication, so that the source keeps no log for them any more.

    Topics and what was read stay. A later `apply` begins with a snapshot.
    """
    from headwater.cdc import applying

    settings = get_settings()
    capture = _capture(settings, None)
    if not yes:
        raise typer.BadParameter(f"this removes {capture.connector} and its slot; repeat with --yes")
    changes = list(_told(applying.remove(settings, capture), as_json))
    say(as_json, {"changes": [one.as_json() for one in changes]}, f"{capture.connector} is gone")


def _capture(settings: Settings, names: list[str] | None) -> Capture:
    """What the contracts capture; imported late, since `--help` needs none of it."""
    from headwater.cdc.connector import capture_of
    from headwater.contracts.loader import load_contracts

    return capture_of(settings, load_contracts(settings.contracts_dir), names or ())


def _told(changes: Iterable[Change], as_json: bool) -> Iterator[Change]:
    """Say each change when it is done; beside the result where that is JSON."""
    for one in changes:
        typer.echo(f"{one.place:<10} {one.what}", err=as_json)
        yield one


def _print_verified(found: Verified) -> None:
    lines = [f"{found.source_rows:,} rows in the source at {found.lsn}, {found.silver_rows:,} in silver"]
    lines.append(f"{found.ranges_differing:,} of {found.ranges:,} ranges differ ({found.seconds:.1f} s)")
    lines += [f"not compared: {', '.join(found.without)}"] if found.without else []
    lines += [f"{found.unsettled:,} rows changed each time they were looked at"] if found.unsettled else []
    typer.echo("\n".join(lines))
    for kind, keys in found.keys.items():
        for key in keys:
            typer.echo(f"{kind:<10} {', '.join(f'{name}={value}' for name, value in key.items())}")
        if found.counts[kind] > len(keys):
            typer.echo(f"{kind:<10} … {found.counts[kind] - len(keys):,} more")
    typer.echo("silver is what the source is" if found.equal else "silver is not what the source is")


def _print_status(report: Report) -> None:
    facts = table("part", "state")
    for name, text in report.lines():
        facts.add_row(name, text)
    console().print(facts)
    if report.datasets:
        rows = table("dataset", "table", "changes", "last change", "snapshot")
        for one in report.datasets:
            rows.add_row(one.name, one.table, f"{one.changes:,}", one.last_change, one.snapshot)
        console().print(rows)
