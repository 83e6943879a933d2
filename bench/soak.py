"""`make soak`: a steady stream of events while processes are killed, garbage comes in and the schema changes.

In a home of its own that is wiped afterwards. Every half minute a random process of the stack is killed with SIGKILL;
a supervisor repairs by the commands an operator has (`headwater up`, `headwater stream start`). A third of the way the
contract gains a column, half-way bronze is compacted. It ends when all is in, and then holds: `unaccounted` is 0, the
broken records are in quarantine, and silver equals what DuckDB computes from the formula, row by row.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from bench import clicks
from bench.clicks import BROKEN_EVERY, Offer, Watch
from bench.run import RESULTS, machine
from headwater.embedded import processes
from headwater.embedded import stack as embedded
from headwater.errors import HeadwaterError
from headwater.lake.catalog import get_catalog
from headwater.settings import get_settings
from headwater.streaming import supervision

SERVICES = ("postgres", "kafka", "registry", "clickhouse")
VICTIMS = (*SERVICES, supervision.PROCESS)
REPAIR_SECONDS, KILL_SECONDS = 2.0, 30.0
CATCH_UP_SECONDS = 600.0
PORT_BASE = 18_600


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak; 0 where everything held."""
    options = _parser().parse_args(arguments)
    chance = random.Random(options.seed)  # noqa: S311  (which process dies next, not a secret)
    with _home(), clicks.project() as project:
        result = _soak(project, options.rate, options.minutes * 60, chance)
    result |= {"rate": options.rate, "minutes": options.minutes, "seed": options.seed, "machine": machine()}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"soak-{datetime.now(UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "machine"}, indent=2))
    print(f"written to {path}")
    return 0 if result["held"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0, help="how long events are offered (20)")
    parser.add_argument("--rate", type=int, default=20_000, help="events per second (20,000)")
    parser.add_argument("--seed", type=int, default=1, help="which processes die when (1)")
    return parser


@contextmanager
def _home() -> Iterator[None]:
    """A stack below a home of its own, wiped afterwards; downloads are those of the project."""
    downloads = get_settings().downloads_dir
    own = {
        "HEADWATER_HOME": tempfile.mkdtemp(prefix="headwater-soak-"),
        "HEADWATER_PORT_BASE": str(PORT_BASE),
        "HEADWATER_DOWNLOADS_DIR": str(downloads),
    }
    Path(own["HEADWATER_HOME"]).chmod(0o755)
    os.environ |= own
    get_settings.cache_clear()
    try:
        embedded.up(SERVICES, print)
        yield
    finally:
        embedded.down(print, wipe=True)


@dataclass
class Supervisor:
    """Repairs what is down, by the means an operator has, every two seconds; remembers what it could not."""

    repairs: int = 0
    failures: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until asked to stop."""
        while not self._stopping.wait(REPAIR_SECONDS):
            if all(processes.find(get_settings(), name) for name in VICTIMS):
                continue
            try:
                embedded.up(SERVICES, lambda *_: None)
                supervision.start([clicks.NAME])
                self.repairs += 1
            except HeadwaterError as error:  # the next round tries again; the result tells
                self.failures.append(str(error)[:300])

    def stop(self) -> None:
        """Ask it to end after this round."""
        self._stopping.set()


def _soak(project: Path, rate: int, seconds: float, chance: random.Random) -> dict[str, Any]:
    supervision.start([clicks.NAME])
    watch, supervisor = Watch(), Supervisor()
    repairing = threading.Thread(target=supervisor.run, name="supervisor")
    repairing.start()
    offer = Offer(rate, seconds, broken=True)
    killed: Counter[str] = Counter()
    try:
        offer.start()
        _disturb(project, offer, seconds, chance, killed)
        count = offer.finish()
        watch.await_events(count, CATCH_UP_SECONDS)
    finally:
        offer.stopping.set()
        supervisor.stop()
        repairing.join()
        watch.stop()
        supervision.stop()
    p50, p99 = np.percentile(watch.delays(offer), [50, 99])
    result = {"events": count, "killed": dict(killed), "repairs": supervisor.repairs, "failures": supervisor.failures}
    result |= {"event_to_clickhouse_p50_s": round(float(p50), 2), "event_to_clickhouse_p99_s": round(float(p99), 2)}
    return result | _judged(offer)


def _disturb(project: Path, offer: Offer, seconds: float, chance: random.Random, killed: Counter[str]) -> None:
    """Kill, change the schema, compact: until all is offered."""
    begun = time.monotonic()
    plans = [(seconds / 3, lambda: _add_column(project, offer)), (seconds / 2, _compact)]
    plans += [(at, lambda: _kill(chance, killed)) for at in np.arange(KILL_SECONDS, seconds - 10, KILL_SECONDS)]
    for at, do in sorted(plans, key=lambda plan: plan[0]):
        offer.stopping.wait(max(0.0, begun + at - time.monotonic()))
        print(f"{time.monotonic() - begun:6.0f} s: {offer.next:,} events offered, killed {dict(killed)}", flush=True)
        if offer.error is None:
            do()


def _kill(chance: random.Random, killed: Counter[str]) -> None:
    name = chance.choice(VICTIMS)
    running = processes.find(get_settings(), name)
    if running is not None:
        running.process.send_signal(signal.SIGKILL)
        killed[name] += 1


def _add_column(project: Path, offer: Offer) -> None:
    """The contract gains an optional column; events carry it from now on."""
    path = project / "schemas" / "contracts" / "bench" / "clicks.yaml"
    column = (
        "      - name: campaign\n        logicalType: string\n        physicalType: string\n"
        "        description: Came later\n"
    )
    mark = "      - name: click_date\n"
    path.write_text(path.read_text().replace(mark, column + mark).replace("version: 1.0.0", "version: 1.1.0"))
    _until_it_works("contract", "generate")
    _until_it_works("contract", "apply", clicks.NAME)
    offer.use_newest_schema()


def _until_it_works(*arguments: str, seconds: float = 120.0) -> None:
    """A command, repeated while services are being killed under it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            clicks.run(*arguments)
        except HeadwaterError:
            if time.monotonic() > deadline:
                raise
        else:
            return


def _compact() -> None:
    print(f"maintenance ended with {_job('maintain_tables')}", flush=True)


def _job(name: str) -> int:
    """Run a job of this stream; its exit code."""
    script = get_settings().project_dir / "spark_jobs" / f"{name}.py"
    return subprocess.run([sys.executable, str(script), "--dataset", clicks.NAME], check=False).returncode


def _judged(offer: Offer) -> dict[str, Any]:
    """What the ledger says, and silver beside the formula; `held` where all of it is as it must be."""
    ledger = json.loads(clicks.run("ledger", "--topic", clicks.TOPIC, "--verify", "--json"))
    silver_job = _job("build_silver")
    broken = sum(map(clicks.is_broken, range(offer.next)))
    rows, distinct, differing = _beside_the_formula(offer)
    held = (
        silver_job == 0
        and ledger["unaccounted"] == 0
        and sum(line["quarantined"] for stream in ledger["streams"] for line in stream["partitions"]) == broken
        and rows == distinct == offer.next - broken
        and differing == 0
    )
    silver = {"rows": rows, "distinct": distinct, "expected": offer.next - broken, "differing": differing}
    return {"held": held, "silver": silver, "broken": broken, "ledger": ledger}


def _beside_the_formula(offer: Offer) -> tuple[int, int, int]:
    """Rows of silver, how many numbers they have, and how many of them do not follow from their number."""
    columns = ("number", "visitor", "amount", "page", "event_timestamp")
    silver = get_catalog().load_table(f"silver.{clicks.NAME}").scan(selected_fields=columns).to_arrow_batch_reader()
    found = duckdb.sql(
        f"""
        SELECT count(*), count(DISTINCT number), count(*) FILTER (
            visitor <> number % {clicks.VISITORS} OR amount <> (number % 1000) / 100.0::DECIMAL(10, 2)
            OR page <> 'p' || number % {clicks.PAGES} OR number NOT BETWEEN 0 AND {offer.next - 1}
            OR number % {BROKEN_EVERY} = 7
            OR abs(epoch(event_timestamp) - ({offer.begin} + number / {offer.rate})) > 0.001)
        FROM silver
        """,
    ).fetchone()
    assert found is not None  # an aggregate has one row
    assert silver is not None  # DuckDB reads it by its name
    return found
