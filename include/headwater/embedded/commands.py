"""`headwater up | down | status | logs | doctor`: the embedded stack."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table

from headwater.console import Json, console, noun, say, table
from headwater.embedded import processes, stack
from headwater.embedded.services import SERVICES
from headwater.embedded.status import ProcessStatus, ServiceStatus
from headwater.embedded.status import status as look
from headwater.errors import ConfigurationError
from headwater.settings import get_settings

if TYPE_CHECKING:
    from headwater.embedded.doctor import Finding

app = noun("The embedded stack.")
COLOURS = {"healthy": "green", "good": "green", "mute": "yellow", "note": "yellow", "stopped": "red", "bad": "red"}


def _reporter(as_json: bool) -> stack.Report:
    """Prints what happens with each service; beside the result where that is JSON."""
    return lambda name, text: typer.echo(f"{name:<11} {text}", err=as_json)


@app.command()
def up(
    services: Annotated[list[str] | None, typer.Argument(help="Only these, and what they need")] = None,
    as_json: Json = False,
) -> None:
    """Start (or repair) the embedded stack, and wait until it serves."""
    begin = time.monotonic()
    report = _reporter(as_json)
    with ExitStack() as bars:
        running = stack.up(services or [], report, _fetching(bars))
    seconds = time.monotonic() - begin
    facts = {"services": [service.name for service in running], "seconds": round(seconds, 1)}
    say(as_json, facts, lambda: report("stack", f"up after {seconds:.0f} s; see `headwater status`"))


def _fetching(bars: ExitStack) -> Callable[[int, int], None]:
    """Moves a bar, which appears only when there is something to fetch."""
    bar = Progress(TextColumn("downloads  "), BarColumn(), DownloadColumn(), console=Console(stderr=True))
    task: list[TaskID] = []

    def move(done: int, total: int) -> None:
        if not task:
            bars.enter_context(bar)
            task.append(bar.add_task("downloads", total=total))
        bar.update(task[0], completed=done)
        if done >= total:
            bars.close()

    return move


@app.command()
def down(
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Forget data and generated passwords too; downloads stay")
    ] = False,
    as_json: Json = False,
) -> None:
    """Stop everything that belongs to the embedded stack."""
    report = _reporter(as_json)
    stack.down(report, wipe)
    home = str(get_settings().home)
    say(as_json, {"home": home, "wiped": wipe}, lambda: report("stack", f"nothing of {home} runs"))


@app.command()
def status(
    services: Annotated[list[str] | None, typer.Argument(help="Only these, and what they need")] = None,
    as_json: Json = False,
) -> None:
    """What runs, where, and how much memory it takes. Exit code 1 when something does not serve."""
    found = look(get_settings(), services or [])
    say(as_json, [one.as_json() for one in found], lambda: console().print(_status_table(found)))
    if not all(one.good for one in found):
        raise typer.Exit(1)


def _status_table(found: list[ServiceStatus]) -> Table:
    """A row for each service, and below it one for each process where there are several."""
    rows = table("service", "state", "pid", "up", "memory", "address")
    for one in found:
        several = len(one.processes) > 1
        first = one.processes[0] if one.processes and not several else None
        rows.add_row(one.name, _coloured(one.state), *_figures(first, one.resident_bytes), one.address)
        for process in one.processes if several else []:
            name = f"  {process.name.removeprefix(f'{one.name}-')}"
            rows.add_row(name, _coloured(process.state), *_figures(process, process.resident_bytes), "")
    rows.add_row("all", "", "", "", _megabytes(sum(one.resident_bytes for one in found)), "")
    return rows


def _figures(process: ProcessStatus | None, resident_bytes: int) -> tuple[str, str, str]:
    """Pid, time it runs, and memory, each empty where there is none."""
    pid = str(process.pid) if process and process.pid else ""
    since = f"{process.uptime_seconds / 60:.0f} min" if process and process.pid else ""
    return pid, since, _megabytes(resident_bytes) if resident_bytes else ""


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _coloured(state: str) -> str:
    colour = COLOURS.get(state)
    return f"[{colour}]{state}[/]" if colour else state


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(SERVICES)}, or one of its processes")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as the log grows, until Ctrl-C")] = False,
    lines: Annotated[int, typer.Option("-n", help="How many lines to begin with")] = 100,
) -> None:
    """Show or follow the log of a service."""
    places = {file: file.stat().st_size if file.exists() else 0 for file in _log_files(service)}
    for file, place in places.items():
        for line in processes.tail(file, lines, place):
            typer.echo(f"{file.stem}: {line}" if len(places) > 1 else line)
    if follow:
        _follow(places)


def _log_files(service: str) -> list[Path]:
    settings = get_settings()
    if service in SERVICES:
        return [processes.log_file(settings, spec.name) for spec in SERVICES[service].processes(settings)]
    file = processes.log_file(settings, service)
    if not file.exists():
        known = ", ".join([*SERVICES, *sorted(log.stem for log in settings.logs_dir.glob("*.log"))])
        raise ConfigurationError(f"no such service or log: {service}", remedy=f"one of {known}")
    return [file]


def _follow(places: dict[Path, int]) -> None:
    """Print what is added after these places, until Ctrl-C. A log that was rotated is taken up from its beginning."""
    try:
        while True:
            for file, place in places.items():
                size = file.stat().st_size if file.exists() else 0
                if size != place:
                    with file.open("rb") as log:
                        log.seek(place if size > place else 0)
                        typer.echo(log.read().decode(errors="replace"), nl=False)
                    places[file] = size
            time.sleep(0.2)
    except KeyboardInterrupt:
        return


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check this machine and say what to mend. Exit code 1 when something must be mended."""
    from headwater.embedded.doctor import examine

    findings = examine(get_settings())
    say(as_json, [asdict(finding) for finding in findings], lambda: console().print(_findings_table(findings)))
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def _findings_table(findings: list[Finding]) -> Table:
    rows = table("check", "state", "finding", "remedy")
    for finding in findings:
        rows.add_row(finding.check, _coloured(finding.state), escape(finding.text), escape(finding.remedy))
    return rows
