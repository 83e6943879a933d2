"""`headwater quarantine`: what could not be read, or did not pass; look at it, mend it, replay it, or put it aside."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from headwater.console import Json, console, noun, say, table

if TYPE_CHECKING:
    from headwater.contracts.model import Dataset
    from headwater.streaming.quarantine import Quarantined, Selection
    from headwater.streaming.replaying import Replay

app = noun("What could not be read, or did not pass: list, mend, replay.")

Names = Annotated[list[str] | None, typer.Argument(help="Streams, by dataset or topic; default: all")]
Name = Annotated[str, typer.Argument(help="The stream, by dataset or topic")]
Reason = Annotated[str | None, typer.Option(help="Only this error or rule")]
Stage = Annotated[str | None, typer.Option(help="Only decode (unreadable) or rule (breaks a rule)")]
Partition = Annotated[int | None, typer.Option(help="Only this partition")]
Offsets = Annotated[str | None, typer.Option(help="Only this offset, or these: 5014 or 5000-5099")]
Since = Annotated[datetime | None, typer.Option(help="Only what was taken in at or after this time (UTC)")]
Until = Annotated[datetime | None, typer.Option(help="Only what was taken in before this time (UTC)")]
Discarded = Annotated[bool, typer.Option("--discarded", help="Those put aside, instead of those that were not")]
Limit = Annotated[int | None, typer.Option(help="At most so many, newest first", min=1)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing")]
Who = Annotated[str, typer.Option(help="Who decides; default: the account of this process")]


@app.command("list")
def list_(
    datasets: Names = None,
    reason: Reason = None,
    stage: Stage = None,
    partition: Partition = None,
    offsets: Offsets = None,
    since: Since = None,
    until: Until = None,
    discarded: Discarded = False,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Records in quarantine, with place and reason."""
    from headwater.streaming.quarantine import quarantined

    selection = _selection(reason, stage, partition, offsets, since, until, discarded, limit)
    found = quarantined(datasets or (), selection)
    say(as_json, [asdict(record) for record in found], lambda: console().print(_listed(found)))


@app.command()
def show(
    dataset: Annotated[str, typer.Argument(help="The stream")],
    partition: Annotated[int, typer.Argument()],
    offset: Annotated[int, typer.Argument()],
    as_json: Json = False,
) -> None:
    """Everything known about one record: all attempts, its bytes in hexadecimal, its headers."""
    from headwater.streaming.quarantine import record_at

    with _on_record(_stream(dataset), "show", rows=1):
        found = record_at(dataset, partition, offset)
    rows = [{key: value.hex() if isinstance(value, bytes) else value for key, value in row.items()} for row in found]
    texts = ("\n".join(f"{key:<20} {value}" for key, value in row.items() if value is not None) for row in rows)
    say(as_json, rows, "\n\n".join(texts))


@app.command()
def export(
    dataset: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, a line of JSON for each record")],
    reason: Reason = None,
    stage: Stage = None,
    partition: Partition = None,
    offsets: Offsets = None,
    since: Since = None,
    until: Until = None,
    discarded: Discarded = False,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Write records with place, reason, key, bytes (hexadecimal) and headers, or columns into a file."""
    from headwater.streaming.replaying import export as written

    selection = _selection(reason, stage, partition, offsets, since, until, discarded, limit)
    one = _stream(dataset)
    with _on_record(one, "export"):
        count = written(one, selection, output)
    say(as_json, {"records": count, "file": str(output)}, f"{count:,} records in {output}")


@app.command()
def replay(
    dataset: Name,
    reason: Reason = None,
    stage: Stage = None,
    partition: Partition = None,
    offsets: Offsets = None,
    since: Since = None,
    until: Until = None,
    discarded: Discarded = False,
    limit: Limit = None,
    patch: Annotated[Path | None, typer.Option(help="A JSON merge patch (RFC 7396) for every record")] = None,
    schema_version: Annotated[int | None, typer.Option(help="Decode with this released version", min=1)] = None,
    dry_run: DryRun = False,
    who: Who = "",
    as_json: Json = False,
) -> None:
    """Try records again; what can be read and breaks no rule lands in bronze, once, at its own place.

    Ends with 1 if a record fails again.
    """
    from headwater.streaming.replaying import Means
    from headwater.streaming.replaying import replay as tried

    selection = _selection(reason, stage, partition, offsets, since, until, discarded, limit)
    means = Means(patch, schema_version)
    one = _stream(dataset)
    with _on_record(one, "replay", who) as by:
        done = tried(one, selection, means, who=by, dry_run=dry_run)
    say(as_json, _facts(done, dry_run), lambda: _print_replay(done, dry_run))
    if done.landing < len(done.lines):
        raise typer.Exit(1)


@app.command()
def discard(
    dataset: Name,
    why: Annotated[str, typer.Option("--why", help="The reason, kept with the decision")],
    reason: Reason = None,
    stage: Stage = None,
    partition: Partition = None,
    offsets: Offsets = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
    who: Who = "",
    as_json: Json = False,
) -> None:
    """Put records aside: they stay in bronze and in the ledger, and out of this list."""
    from headwater.streaming import replaying
    from headwater.streaming.quarantine import quarantine_of

    one = _stream(dataset)
    selection = _selection(reason, stage, partition, offsets, since, until, False, limit)
    if not (dry_run or yes):
        count = len(quarantine_of(one, selection, measured=False))
        if not typer.confirm(f"put {count:,} records of {one.name} aside?", err=as_json):
            raise typer.Exit(1)
    with _on_record(one, "discard", who) as by:
        found = replaying.discard(one, selection, why=why, who=by, dry_run=dry_run)
    facts = {"dry_run": dry_run, "discarded": len(found), "records": [_place(record) for record in found]}
    say(as_json, facts, f"{len(found):,} records {'would be' if dry_run else 'are'} put aside")


@contextmanager
def _on_record(dataset: Dataset, verb: str, who: str = "", rows: int | None = None) -> Iterator[str]:
    """Ask the policy, and put it on the audit trail; gives who it is. The block is not begun where either fails."""
    from headwater.audit.by_command import on_record
    from headwater.streaming.quarantine_access import TOOL, allowed

    found = allowed(dataset, verb, who)
    with on_record(
        f"{TOOL}.{verb}",
        who=found.who,
        datasets=(dataset.name,),
        rows=rows,
        purpose=found.purpose,
        policy_version=found.policy_version,
    ):
        yield found.who


def _selection(
    reason: str | None,
    stage: str | None,
    partition: int | None,
    offsets: str | None,
    since: datetime | None,
    until: datetime | None,
    discarded: bool,
    limit: int | None,
) -> Selection:
    from headwater.streaming.quarantine import Selection

    if stage not in (None, "decode", "rule"):
        raise typer.BadParameter("decode or rule", param_hint="--stage")
    times = [time if time is None or time.tzinfo else time.replace(tzinfo=UTC) for time in (since, until)]
    return Selection(reason, stage, partition, _range(offsets), times[0], times[1], discarded, limit)


def _range(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    if (match := re.fullmatch(r"(\d+)(?:-(\d+))?", text)) is None:
        raise typer.BadParameter("an offset, or the first and the last: 5014 or 5000-5099", param_hint="--offsets")
    return int(match[1]), int(match[2] or match[1])


def _stream(name: str) -> Dataset:
    from headwater.streaming.accounting import streams

    return streams([name])[0]


def _listed(found: Sequence[Quarantined]) -> Table:
    rows = table("dataset", "partition", "offset", "stage", "reason", "attempt", "bytes", "headers", "taken in")
    for record in found:
        rows.add_row(
            record.dataset,
            str(record.partition),
            str(record.offset),
            record.stage,
            escape(", ".join(record.reasons)),
            str(record.attempt),
            "" if record.size is None else str(record.size),
            escape("\n".join(f"{name}={value}" for name, value in record.headers)),
            record.ingested_at.isoformat(timespec="seconds"),
        )
    return rows


def _place(record: Quarantined) -> dict[str, Any]:
    return {
        key: value for key, value in asdict(record).items() if key not in ("size", "headers", "ingested_at", "dataset")
    }


def _facts(done: Replay, dry_run: bool) -> dict[str, Any]:
    return {
        "run": None if dry_run else done.run,
        "dry_run": dry_run,
        "landed": done.landing,
        "failed": len(done.lines) - done.landing,
        "snapshot_id": done.snapshot_id,
        "records": [{**_place(line.record), "lands": line.lands, "fails_by": line.reasons} for line in done.lines],
    }


def _print_replay(done: Replay, dry_run: bool) -> None:
    """What lands by stage, what fails again by reason, then each that fails."""
    failed = [line for line in done.lines if not line.lands]
    if failed:
        rows = table("partition", "offset", "was", "fails again by")
        for line in failed:
            was, reasons = (escape(", ".join(texts)) for texts in (line.record.reasons, line.reasons))
            rows.add_row(str(line.record.partition), str(line.record.offset), was, reasons)
        console().print(rows)
    landing = Counter(line.record.stage for line in done.lines if line.lands)
    of_stage = ", ".join(f"{count:,} by {stage}" for stage, count in sorted(landing.items()))
    verb = "would land" if dry_run else "landed"
    typer.echo(f"{done.landing:,} {verb}{f' ({of_stage})' if of_stage else ''}, {len(failed):,} fail again")
    if not done.lines:
        typer.echo("nothing in quarantine is asked for")
