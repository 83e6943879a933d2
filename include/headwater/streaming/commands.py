"""`headwater stream | ledger | quarantine`: run the streams, account for them, see what they could not take in."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid

Names = Annotated[list[str] | None, typer.Argument(help="Streams, by dataset or topic; default: all")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON instead of a table")]

app = typer.Typer(help="Start, watch and account for the streams.", no_args_is_help=True)
quarantine_app = typer.Typer(help="What could not be read, or did not pass.", no_args_is_help=True)
app.add_typer(quarantine_app, name="quarantine")


@app.command()
def start(
    datasets: Names = None,
    leave_failed: Annotated[bool, typer.Option("--leave-failed", help="Do not try again what has failed")] = False,
    as_json: Json = False,
) -> None:
    """See that the streams are read: start the application, or start it again if it lacks one of them.

    A stream that has failed is tried once more.
    """
    from headwater.streaming import supervision

    started = supervision.start(datasets or (), leave_failed=leave_failed)
    running = supervision.running_streams()
    _say(as_json, {"started": started, "running": running}, f"{'started' if started else 'runs'}: {', '.join(running)}")


@app.command()
def stop(as_json: Json = False) -> None:
    """Let the batch that is being written end, then end the application."""
    from headwater.streaming import supervision

    stopped = supervision.stop()
    _say(as_json, {"stopped": stopped}, "stopped" if stopped else "no stream was running")


@app.command()
def status(datasets: Names = None, as_json: Json = False) -> None:
    """What each stream does, how far it is, and why it stopped where it did."""
    from headwater.streaming import supervision

    found = supervision.statuses(datasets or ())
    if as_json:
        typer.echo(json.dumps([{"state": s.state, "alive": s.alive, **_rest(s.heartbeat)} for s in found]))
        return
    grid = Grid("stream", "state", "lag", "rows", "last progress", "live", "reason")
    for one in found:
        beat = one.heartbeat
        live = beat.get("live", {})
        lag = sum(beat.get("lag", {}).values())
        grid.add_row(
            one.dataset,
            one.state,
            f"{lag:,}",
            f"{beat.get('rows', 0):,}",
            beat.get("last_progress_at", ""),
            str(live.get("state", "")),
            str(beat.get("reason", "")),
        )
    _console().print(grid)


def _rest(heartbeat: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in heartbeat.items() if key != "state"}


@app.command()
def follow(
    dataset: Annotated[str, typer.Argument(help="The stream")],
    once: Annotated[bool, typer.Option(help="Take over what bronze has, then end")] = False,
) -> None:
    """Take what bronze has into ClickHouse's live table, outside the streaming application."""
    from headwater.streaming.accounting import streams
    from headwater.streaming.live import LiveFollower

    follower = LiveFollower(streams([dataset])[0])
    typer.echo(f"{follower.catch_up():,} rows") if once else follower.follow_until_interrupted()


@app.command("accept-loss")
def accept_loss(
    dataset: Annotated[str, typer.Argument(help="The stream")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
) -> None:
    """Record that offsets which are gone are accepted as lost; the stream then goes on from what is there."""
    from headwater.streaming.loss import accept

    typer.echo(accept(dataset, lambda question: yes or typer.confirm(question)))


@app.command()
def ledger(
    datasets: Names = None,
    topic: Annotated[str | None, typer.Option(help="Only this topic")] = None,
    exact: Annotated[bool, typer.Option(help="Count bronze's rows instead of trusting its summaries")] = False,
    as_json: Json = False,
) -> None:
    """Which offsets are where. Ends with 1 if any is unaccounted for."""
    from headwater.streaming.accounting import stream_ledgers

    names = [*(datasets or ()), *([topic] if topic else ())]
    found = stream_ledgers(names, exact=exact)
    left = sum(one.unaccounted for one in found)
    if as_json:
        lines = [{**asdict(one), "unaccounted": one.unaccounted} for one in found]
        typer.echo(json.dumps({"streams": lines, "unaccounted": left}))
    else:
        columns = ("begin", "next", "end", "read", "quarantined", "empty", "lost", "unaccounted")
        grid = Grid("topic", "partition", *columns)
        for one in found:
            for line in one.partitions:
                grid.add_row(one.topic, str(line.partition), *(f"{getattr(line, name):,}" for name in columns))
            if one.recreated:
                grid.add_row(one.topic, "", "the topic was recreated: its new records are not in this account")
        _console().print(grid)
        typer.echo(f"unaccounted = {left:,}")
    if left:
        raise typer.Exit(1)


@quarantine_app.command("list")
def list_quarantine(
    datasets: Names = None,
    reason: Annotated[str | None, typer.Option(help="Only this error or rule")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, newest first")] = 50,
    as_json: Json = False,
) -> None:
    """Records in quarantine, with place and reason."""
    from headwater.streaming.quarantine import quarantined

    found = quarantined(datasets or (), reason=reason, limit=limit)
    if as_json:
        typer.echo(json.dumps([asdict(record) for record in found], default=str))
        return
    grid = Grid("dataset", "partition", "offset", "stage", "reason", "attempt", "bytes", "taken in")
    for record in found:
        grid.add_row(
            record.dataset,
            str(record.partition),
            str(record.offset),
            record.stage,
            ", ".join(record.reasons),
            str(record.attempt),
            "" if record.size is None else str(record.size),
            record.ingested_at.isoformat(timespec="seconds"),
        )
    _console().print(grid)


@quarantine_app.command("show")
def show_quarantine(
    dataset: Annotated[str, typer.Argument(help="The stream")],
    partition: Annotated[int, typer.Argument()],
    offset: Annotated[int, typer.Argument()],
    as_json: Json = False,
) -> None:
    """Everything known about one record: all attempts, its bytes in hexadecimal."""
    from headwater.streaming.quarantine import record_at

    rows = [
        {key: value.hex() if isinstance(value, bytes) else value for key, value in row.items()}
        for row in record_at(dataset, partition, offset)
    ]
    if as_json:
        typer.echo(json.dumps(rows, default=str))
        return
    for row in rows:
        for key, value in row.items():
            if value is not None:
                typer.echo(f"{key:<20} {value}")
        typer.echo("")


def _console() -> Console:
    """As wide as the terminal; wide enough to cut nothing off where the output goes elsewhere."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def _say(as_json: bool, facts: dict[str, Any], text: str) -> None:
    typer.echo(json.dumps(facts) if as_json else text)
