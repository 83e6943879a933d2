"""Runs the parts of the benchmark and prints them side by side; writes bench/results/<date>.json.

A part is a line in `PARTS`: a function of the `Context` that returns measurements. Parts run in this order, in one
process, on the running stack (`headwater up`). A part that fails is reported as such, the others still run, and the
exit code is 1; a target that was missed is shown and does not fail the run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from bench.measure import MILLION, Measurement
from bench.topics import Context
from headwater.settings import get_settings

RESULTS = Path(__file__).parent / "results"
DEFAULT_ROWS = 3_000_000
PACKAGES = (
    "headwater",
    "confluent-kafka",
    "fastavro",
    "pyarrow",
    "numpy",
    "pyiceberg",
    "pyspark",
    "chdb",
    "clickhouse-connect",
)


class Part(NamedTuple):
    """A part of the benchmark: what it measures, `module:function`, imported when it runs, and how many rows.

    `sizes`: what was measured with another number of rows is kept beside, and does not replace it.
    """

    measures: str
    function: str
    rows: int = DEFAULT_ROWS
    sizes: bool = False

    def key(self, name: str, asked: int | None) -> str:
        """What its figures are kept under."""
        return f"{name} --rows {asked}" if self.sizes and asked and asked != self.rows else name


PARTS = {
    "encode": Part("rows to Avro, no Kafka", "bench.produce_consume:measure_encode"),
    "produce": Part("Avro producer, end to end", "bench.produce_consume:measure_produce"),
    "consume": Part("consumer without decoding", "bench.produce_consume:measure_consume"),
    "stream": Part("Kafka to nowhere and to bronze", "bench.stream:measure_stream"),
    "silver": Part("bronze to silver, and 1% more", "bench.silver:measure_silver"),
    "gold": Part("silver to gold to ClickHouse, and 1% more", "bench.gold:measure_gold"),
    "queries": Part("queries on gold from 1, 8 and 100 clients", "bench.queries:measure_queries"),
    "api": Part("calls of the API beside ClickHouse itself", "bench.api:measure_api"),
    "mcp": Part("MCP tool calls from 1, 10 and 100 agents", "bench.agents:measure_mcp"),
    "policy": Part("allow or deny, by the policy", "bench.decisions:measure_policy"),
    "audit": Part("entries recorded; a million verified", "bench.audit:measure_audit"),
    "freshness": Part("event to ClickHouse at three rates; recovery", "bench.freshness:measure_freshness"),
    "peer": Part("plain Python consumer into Iceberg", "bench.peer_python_consumer:measure_peer"),
    "sink": Part("Iceberg's sink for Kafka Connect", "bench.peer_kafka_connect:measure_kafka_connect"),
    "cdc": Part("Postgres to silver by change data capture", "bench.cdc:measure_cdc", 200_000, sizes=True),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named parts (all by default); 0 where every part ran."""
    options = _parser().parse_args(arguments)
    context = Context(rows=options.rows or DEFAULT_ROWS, asked=options.rows)
    console = Console(width=max(150, Console().width))
    console.print(f"{context.rows:,} rows on {_line(machine())}")
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        console.print(
            f"[yellow]others are at work here (load average {os.getloadavg()[0]:.1f}): rows/s are lower bounds[/yellow]"
        )
    outcomes: dict[str, dict[str, Any]] = {}
    table = _table()
    try:
        for name in options.parts or PARTS:
            console.print(f"[dim]{name}: {PARTS[name].measures} …[/dim]")
            outcomes[name] = _run(name, context, table)
    finally:
        context.remove_topics()
    console.print(table)
    path = _write(outcomes, options.rows)
    console.print(f"written to {path}")
    return 1 if any("error" in outcome for outcome in outcomes.values()) else 0


def _parser() -> argparse.ArgumentParser:
    lines = "\n".join(f"  {name:<12} {part.measures}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench", epilog=f"parts:\n{lines}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help="parts to run; all by default")
    parser.add_argument(
        "--rows", type=int, help=f"records of the topic ({DEFAULT_ROWS:,}); of `cdc` rows of the table (200,000)"
    )
    return parser


def _run(name: str, context: Context, table: Table) -> dict[str, Any]:
    started = datetime.now(UTC)
    load, pace = os.getloadavg()[0], _pace()
    try:
        measurements = _function(name)(context)
    except Exception as error:  # noqa: BLE001 - the other parts still run; it is told here and by the exit code
        traceback.print_exc()
        table.add_row(name, f"failed: {error}", *[""] * 5)
        return {"error": str(error), "started": started.isoformat()}
    for measurement in measurements:
        table.add_row(*_row(name, measurement))
    return {
        "started": started.isoformat(),
        # Others on the machine show here: a figure from a busy machine is a lower bound.
        "load_average_before": round(load, 2),
        # Shared machines run now faster, now slower: compare figures of two days by this.
        "core_million_loops_per_second": pace,
        "measurements": [measurement.as_dict() for measurement in measurements],
    }


def _function(name: str) -> Callable[[Context], list[Measurement]]:
    module, _, function = PARTS[name].function.partition(":")
    found: Callable[[Context], list[Measurement]] = getattr(importlib.import_module(module), function)
    return found


def _table() -> Table:
    table = Table()
    for heading in ("part", "what"):
        table.add_column(heading)
    for heading in ("rows", "rows/s", "CPU s per million", "target", "notes"):
        table.add_column(heading, justify="right")
    return table


def _row(name: str, m: Measurement) -> tuple[str, ...]:
    cpu = m.cpu_per_million
    targets = [f"≥ {m.at_least:,.0f}/s"] if m.at_least is not None else []
    targets += [f"≤ {m.cpu_at_most} CPU s"] if m.cpu_at_most is not None else []
    mark = {True: "reached", False: "missed", None: ""}[m.reached]
    notes = ", ".join(f"{key} {value}" for key, value in m.notes.items())
    return (
        name,
        m.what,
        f"{m.rows:,}",
        f"{m.rows_per_second:,.0f}",
        f"{cpu:.2f}" if cpu is not None else "",
        " ".join([*targets, mark]),
        notes,
    )


def machine() -> dict[str, Any]:
    """Size of the machine and the versions that were measured."""
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _pace() -> float:
    """How fast one core is just now: millions of rounds of an empty Python loop per CPU-second."""
    begun = time.process_time()
    for _ in range(3 * MILLION):
        pass
    return round(3 / (time.process_time() - begun), 1)


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def _line(size: dict[str, Any]) -> str:
    return f"{size['cores']} cores ({size['cpu']}), {size['memory_gib']} GiB, Python {size['python']}"


def _write(outcomes: dict[str, dict[str, Any]], asked: int | None) -> Path:
    """The day's file; a part that ran again replaces its earlier figures."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.json"
    parts = json.loads(path.read_text())["parts"] if path.is_file() else {}
    for name, outcome in outcomes.items():
        parts[PARTS[name].key(name, asked)] = outcome | {"rows": asked or PARTS[name].rows}
    ordered = {kept: parts[kept] for name in PARTS for kept in parts if kept.split(" ")[0] == name}
    local = get_settings().kafka_bootstrap_servers.startswith("127.0.0.1")
    result = {"machine": machine(), "broker_on_this_machine": local, "parts": ordered}
    path.write_text(json.dumps(result, indent=2) + "\n")
    return path
