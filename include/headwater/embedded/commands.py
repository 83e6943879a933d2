"""`headwater up | down | status | logs | doctor`: the embedded stack."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table

from headwater.embedded import processes, stack
from headwater.embedded.services import SERVICES
from headwater.embedded.status import ProcessStatus, ServiceStatus
from headwater.embedded.status import status as look
from headwater.errors import ConfigurationError
from headwater.settings import get_settings

app = typer.Typer(help="The embedded stack.", no_args_is_help=True)
COLOURS = {"healthy": "green", "good": "green", "mute": "yellow", "note": "yellow", "stopped": "red", "bad": "red"}
Json = Annotated[bool, typer.Option("--json", help="Machine-readable")]


def _report(name: str, text: str) -> None:
    typer.echo(f"{name:<11} {text}")


@app.command()
def up(services: Annotated[list[str] | None, typer.Argument(help="Only these, and what they need")] = None) -> None:
    """Start (or repair) the embedded stack, and wait until it serves."""
    begin = time.monotonic()
    with ExitStack() as bars:
        stack.up(services or [], _report, _fetching(bars))
    _report("stack", f"up after {time.monotonic() - begin:.0f} s; see `headwater status`")


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
    wipe: Annotated[bool, typer.Option(help="Forget all data and generated passwords too; downloads stay")] = False,
) -> None:
    """Stop everything that belongs to the embedded stack."""
    stack.down(_report, wipe)
    _report("stack", f"nothing of {get_settings().home} runs")


@app.command()
def status(
    services: Annotated[list[str] | None, typer.Argument(help="Only these, and what they need")] = None,
    as_json: Json = False,
) -> None:
    """What runs, where, and how much memory it takes. Exit code 1 when something does not serve."""
    found = look(get_settings(), services or [])
    if as_json:
        typer.echo(json.dumps([one.as_json() for one in found], indent=2))
    else:
        Console().print(_status_table(found))
    if not all(one.good for one in found):
        raise typer.Exit(1)


def _status_table(found: list[ServiceStatus]) -> Table:
    """A row for each service, and below it one for each process where there are several."""
    table = Table("service", "state", "pid", "up", "memory", "address", box=None, pad_edge=False)
    for one in found:
        several = len(one.processes) > 1
        first = one.processes[0] if one.processes and not several else None
        table.add_row(one.name, _coloured(one.state), *_figures(first, one.resident_bytes), one.address)
        for process in one.processes if several else []:
            name = f"  {process.name.removeprefix(f'{one.name}-')}"
            table.add_row(name, _coloured(process.state), *_figures(process, process.resident_bytes), "")
    table.add_row("all", "", "", "", _megabytes(sum(one.resident_bytes for one in found)), "")
    return table


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
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = Table("check", "state", "finding", "remedy", box=None, pad_edge=False)
        for finding in findings:
            table.add_row(finding.check, _coloured(finding.state), finding.text, finding.remedy)
        Console().print(table)
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)
