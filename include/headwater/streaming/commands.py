"""`headwater stream | ledger | quarantine`: run the streams, account for them, see what they could not take in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from headwater.console import Json, console, noun, say, table

if TYPE_CHECKING:
    from headwater.streaming.accounting import StreamLedger
    from headwater.streaming.reach import StreamReach
    from headwater.streaming.supervision import StreamStatus
    from headwater.streaming.verification import Verification

Names = Annotated[list[str] | None, typer.Argument(help="Streams, by dataset or topic; default: all")]

app = noun("Start and watch the streams.")


@app.command()
def start(datasets: Names = None, as_json: Json = False) -> None:
    """See that the streams are read: start the application, or start it again if it lacks one of them.

    A stream that has failed, was stopped or given up is tried once more.
    """
    from headwater.streaming import supervision

    started = supervision.start(datasets or ())
    running = supervision.running_streams()
    say(as_json, {"started": started, "running": running}, f"{'started' if started else 'runs'}: {', '.join(running)}")


@app.command()
def stop(datasets: Names = None, as_json: Json = False) -> None:
    """Let the batch that is being written end, then stop; it stays stopped until `stream start`."""
    from headwater.streaming import supervision

    stopped = supervision.stop(datasets or ())
    say(as_json, {"stopped": stopped}, "stopped" if stopped else "no stream was running")


@app.command()
def drain(
    datasets: Names = None,
    seconds: Annotated[float, typer.Option("--wait", help="Wait so long")] = 180.0,
    as_json: Json = False,
) -> None:
    """Let the batch end and the live table catch up, then stop, and say where it stands."""
    from headwater.streaming import supervision

    supervision.drain(datasets or (), wait_seconds=seconds)
    _say_statuses(supervision.statuses(datasets or ()), as_json)


@app.command()
def restart(datasets: Names = None, as_json: Json = False) -> None:
    """End the application after its batches and start it anew, say with new code. Nothing is lost or read twice."""
    from headwater.streaming import supervision

    supervision.restart(datasets or ())
    running = supervision.running_streams()
    say(as_json, {"running": running}, f"runs: {', '.join(running)}")


@app.command()
def status(
    datasets: Names = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1, and say why, if one is not well")] = False,
    try_again: Annotated[
        bool, typer.Option("--try-again/--no-try-again", help="First start once more what failed or was given up")
    ] = False,
    as_json: Json = False,
) -> None:
    """What each stream does, who holds its lease, how far it is, and why it stopped where it did."""
    from headwater.streaming import supervising, supervision

    if try_again:
        supervising.try_again(datasets or ())
    found = supervision.statuses(datasets or ())
    _say_statuses(found, as_json)
    if check:
        supervising.assert_well(found)


@app.command()
def supervise(
    watch: Annotated[bool, typer.Option("--watch", help="And see that the watcher runs, for ten minutes more")] = False,
    as_json: Json = False,
) -> None:
    """One look at all streams, as the DAG `streams` does it: start what is missing, restart what hangs."""
    from headwater.settings import get_settings
    from headwater.streaming import watching
    from headwater.streaming.supervising import supervise as look

    kept: dict[str, Any] = {}
    try:
        looks = look()
    finally:  # what this look could not do, the watcher may be able to
        kept = {"watch": watching.keep(get_settings())} if watch else {}
    text = [f"{one.dataset}: {one.found}{f' → {one.did}' if one.did else ''} {one.note or one.reason}" for one in looks]
    say(as_json, {"streams": [one.facts() for one in looks], **kept}, "\n".join(text) or "no stream is declared")


@app.command()
def watch(
    while_asked: Annotated[
        bool, typer.Option("--while-asked", help="End when `supervise --watch` has not asked for ten minutes")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look every second, and start again at once what was killed, until interrupted. The DAG `streams` keeps one."""
    import logging

    from headwater.settings import get_settings
    from headwater.streaming import watching

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = get_settings()
    watching.watch(settings, wanted=lambda: not while_asked or watching.is_asked_for(settings))
    say(as_json, {"watch": "ended"}, "nobody asks for a watcher any more")


def _say_statuses(found: Sequence[StreamStatus], as_json: bool) -> None:
    say(as_json, [one.facts() for one in found], lambda: console().print(_status_table(found)))


def _status_table(found: Sequence[StreamStatus]) -> Table:
    columns = ("stream", "state", "lag", "fresh", "rows", "last progress", "live", "holder", "restarts", "reason")
    rows = table(*columns)
    for one in found:
        beat = one.heartbeat
        live = beat.get("live", {})
        lag = sum(beat.get("lag", {}).values())
        fresh = one.row.seconds_since(one.row.told("complete_at"))
        rows.add_row(
            one.dataset,
            one.state,
            f"{lag:,}",
            "" if fresh is None else f"{fresh:,.0f} s",
            f"{beat.get('rows', 0):,}",
            beat.get("last_progress_at", ""),
            str(live.get("state", "")),
            one.row.holder if one.row.held else "",
            str(one.row.restarts or ""),
            escape(one.row.given_up or one.row.reason),
        )
    return rows


@app.command()
def follow(
    dataset: Annotated[str, typer.Argument(help="The stream")],
    once: Annotated[bool, typer.Option("--once", help="Take over what bronze has, then end")] = False,
    as_json: Json = False,
) -> None:
    """Take what bronze has into ClickHouse's live table, outside the streaming application."""
    from headwater.streaming.accounting import streams
    from headwater.streaming.live import LiveFollower

    follower = LiveFollower(streams([dataset])[0])
    if once:
        rows = follower.catch_up()
        say(as_json, {"rows": rows}, f"{rows:,} rows")
    else:
        follower.follow_until_interrupted()


@app.command("accept-loss")
def accept_loss(
    dataset: Annotated[str, typer.Argument(help="The stream")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
    as_json: Json = False,
) -> None:
    """Record that offsets which are gone are accepted as lost; the stream then goes on from what is there."""
    from headwater.streaming.loss import accept

    result = accept(dataset, lambda question: yes or typer.confirm(question, err=as_json))
    say(as_json, {"dataset": dataset, "result": result}, result)


@app.command(hidden=True)  # `headwater ledger`
def ledger(
    datasets: Names = None,
    topic: Annotated[str | None, typer.Option(help="Only this topic")] = None,
    exact: Annotated[bool, typer.Option(help="Count bronze's rows instead of trusting its summaries")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hold bronze's rows against the ranges: gaps, overlaps")
    ] = False,
    allow_lag: Annotated[
        bool, typer.Option("--allow-lag", help="Do not fail for offsets that the stream has yet to come to")
    ] = False,
    as_json: Json = False,
) -> None:
    """Which offsets are where. Ends with 1 if any is unaccounted for, or `--verify` finds rows that disagree."""
    from headwater.streaming.accounting import stream_ledgers
    from headwater.streaming.reach import reaches
    from headwater.streaming.verification import verified

    names = [*(datasets or ()), *([topic] if topic else ())]
    found = stream_ledgers(names, exact=exact)
    checks = verified(names) if verify else []
    come = reaches(names)
    facts: dict[str, Any] = {
        "streams": [{**asdict(one), "unaccounted": one.unaccounted, "lag": one.lag} for one in found],
        "unaccounted": sum(one.unaccounted for one in found),
        "lag": sum(one.lag for one in found),
    }
    facts["reach"] = [asdict(one) for one in come]
    if verify:
        facts["verified"] = [{**asdict(one), "agrees": one.agrees} for one in checks]
    say(as_json, facts, lambda: _print_ledgers(found, checks, come))
    loose = [one.beyond_lag if allow_lag else one.unaccounted for one in found]
    if any(loose) or not all(one.agrees for one in checks):
        raise typer.Exit(1)


def _print_ledgers(found: Sequence[StreamLedger], checks: Sequence[Verification], come: Sequence[StreamReach]) -> None:
    columns = ("begin", "next", "end", "read", "quarantined", "retained", "empty", "lost", "unaccounted")
    rows = table("topic", "partition", *columns)
    for one in found:
        for line in one.partitions:
            rows.add_row(one.topic, str(line.partition), *(f"{getattr(line, name):,}" for name in columns))
            if line.gone:
                rows.add_row(one.topic, str(line.partition), f"{line.gone:,} were dropped before they were read")
        if one.recreated:
            rows.add_row(one.topic, "", "the topic was recreated: nothing of the new one is read")
    console().print(rows)
    if come:
        _print_reaches(come)
    for check in checks:
        for finding in check.findings():
            typer.echo(f"{check.topic}: {finding}")
        typer.echo(f"{check.topic}: rows and account {'agree' if check.agrees else 'do not agree'}")
    left, lag = sum(one.unaccounted for one in found), sum(one.lag for one in found)
    typer.echo(f"unaccounted = {left:,}" + (f" ({lag:,} of them yet to be read)" if lag else ""))


_BEHIND = {"hour": "by up to an hour", "day": "by up to a day", "older": "by more than a day"}


def _print_reaches(come: Sequence[StreamReach]) -> None:
    """How far each partition has come: the next offset at every stage, of the furthest behind of several tables."""
    stages = ("bronze", "silver", "gold", "warehouse", "live")
    rows = table("topic", "partition", *(f"{stage} up to" for stage in stages))
    for one in come:
        for line in one.partitions:
            offsets = (getattr(line, stage) for stage in stages)
            rows.add_row(one.topic, str(line.partition), *("" if o is None else f"{o:,}" for o in offsets))
        if one.reason:
            rows.add_row(one.topic, "", escape(one.reason))
    console().print(rows)
    for one in come:
        if one.newest_event is not None:
            late = ", ".join(f"{count:,} {_BEHIND[how]}" for how, count in one.late.items() if count)
            newest = one.newest_event.replace(tzinfo=None).isoformat(" ", "seconds")
            typer.echo(f"{one.topic}: newest event {newest}; late: {late or 'none'}")
