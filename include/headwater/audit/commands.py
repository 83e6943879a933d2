"""`headwater audit verify|search|export|key`: is the audit trail whole, and what is on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headwater.console import Json, console, noun, say, table
from headwater.settings import get_settings

if TYPE_CHECKING:
    from headwater.audit.reading import Sought

app = noun("Who asked for or changed what: verify, search, export.")

Who = Annotated[str, typer.Option(help="Only of this identity")]
Surface = Annotated[str, typer.Option(help="Only of clickhouse, mcp, api or cli")]
Tool = Annotated[str, typer.Option(help="Only of this tool")]
Dataset = Annotated[str, typer.Option(help="Only what read or changed this dataset")]
Outcome = Annotated[str, typer.Option(help="Only allowed, denied or failed")]
Since = Annotated[datetime | None, typer.Option(help="Only at or after this time (UTC)")]
Until = Annotated[datetime | None, typer.Option(help="Only before this time (UTC)")]


@app.command()
def verify(
    public_key: Annotated[
        Path | None, typer.Option(help="Who signed the checkpoints, where the signing key is not here")
    ] = None,
    as_json: Json = False,
) -> None:
    """See whether every entry is as it was written; names the first that is not, and ends with 1."""
    from headwater.audit import anchoring, verifying

    verdict = verifying.verify(get_settings(), anchoring.public_key(public_key) if public_key else None)
    held = f"{verdict.checkpoints:,} checkpoints hold the first {verdict.anchored:,}"
    told = f"{verdict.entries:,} entries are sound; {held}"
    if not verdict.sound:
        first = "" if verdict.sequence is None else f"the first bad entry is {verdict.sequence:,}: "
        told = f"the audit trail is not as it was written ({verdict.fault}): {first}{verdict.detail}"
    say(as_json, {"sound": verdict.sound, **asdict(verdict)}, told)
    if not verdict.sound:
        raise typer.Exit(1)


@app.command()
def search(
    who: Who = "",
    surface: Surface = "",
    tool: Tool = "",
    dataset: Dataset = "",
    outcome: Outcome = "",
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest")] = 50,
    as_json: Json = False,
) -> None:
    """Entries, the newest first; that you looked is on record too."""
    from headwater.audit.by_command import on_record
    from headwater.audit.reading import search as sought

    with on_record("audit.search"):
        found = list(sought(get_settings(), _sought(who, surface, tool, dataset, outcome, since, until), limit=limit))
    say(as_json, found, lambda: _print(found))


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, a line of JSON for each entry")],
    who: Who = "",
    surface: Surface = "",
    tool: Tool = "",
    dataset: Dataset = "",
    outcome: Outcome = "",
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Write entries into a file, the oldest first; that you did is on record too."""
    from headwater.audit.by_command import on_record
    from headwater.audit.reading import search as sought

    with on_record("audit.export"):
        found = sought(get_settings(), _sought(who, surface, tool, dataset, outcome, since, until))
        count = _write(found, output)
    say(as_json, {"entries": count, "file": str(output)}, f"{count:,} entries in {output}")


@app.command()
def key(as_json: Json = False) -> None:
    """The public key of the checkpoints, in PEM, for whoever verifies elsewhere."""
    from headwater.audit.anchoring import Anchor

    anchor = Anchor(get_settings())
    pem = anchor.public_pem().decode()
    say(as_json, {"public_key": pem, "checkpoints": str(anchor.path)}, pem.rstrip())


def _sought(
    who: str, surface: str, tool: str, dataset: str, outcome: str, since: datetime | None, until: datetime | None
) -> Sought:
    from headwater.audit.reading import Sought

    times = [time if time is None or time.tzinfo else time.replace(tzinfo=UTC) for time in (since, until)]
    return Sought(who, surface, tool, dataset, outcome, *times)


def _write(found: Iterator[dict[str, Any]], output: Path) -> int:
    count = 0
    with output.open("w") as file:
        for entry in found:
            file.write(json.dumps(entry, sort_keys=True) + "\n")
            count += 1
    return count


def _print(found: list[dict[str, Any]]) -> None:
    rows = table("no", "at", "who", "surface", "tool", "datasets", "rows", "outcome", "reason", "policy", "source")
    for one in found:
        rows.add_row(
            str(one["sequence"]),
            one["at"][:19],
            one["who"],
            one["surface"],
            " ".join(part for part in (one["tool"], one["target"]) if part),
            ", ".join(one["datasets"]),
            "" if one["rows"] is None else str(one["rows"]),
            one["outcome"],
            one["reason"],
            one["policy_version"],
            one["source"],
        )
    console().print(rows)
