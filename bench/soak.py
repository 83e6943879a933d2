"""`make soak`: a steady stream of events while processes are killed, garbage comes in and the schema changes.

In a home of its own that is wiped afterwards, unless something was wrong. Every half minute a random process of the
stack is killed with SIGKILL; a supervisor repairs by the commands an operator has (`headwater up`, `headwater stream
start`). Silver is built first after a quarter of the time, the contract gains a column after a third, bronze is
compacted half-way, what came in just now too. It ends when all is in, and then holds: `unaccounted` is 0, the broken
records are in quarantine, and silver and the live table equal what DuckDB and ClickHouse compute from the events'
numbers, row by row.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench import clicks
from bench.clicks import Offer, Watch
from bench.run import RESULTS, machine
from bench.soak_judgement import judged, slowest_by_minute
from bench.soak_upkeep import SERVICES, VICTIMS, Meter, Supervisor, job, until_it_works
from headwater.embedded import processes
from headwater.embedded import stack as embedded
from headwater.settings import get_settings
from headwater.streaming import supervision

KILL_SECONDS, CALM_SECONDS = 30.0, 10.0
CATCH_UP_SECONDS = 600.0
PORT_BASE = 18_600


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak; 0 where everything held."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds: the stack is ended
    chance = random.Random(options.seed)  # noqa: S311  (which process dies next, not a secret)
    with _home(options.port_base) as outcome, clicks.project() as project:
        result = _soak(project, options.rate, options.minutes * 60, chance)
        outcome["held"] = result["held"]
    result |= {"rate": options.rate, "minutes": options.minutes, "seed": options.seed, "machine": machine()}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"soak-{datetime.now(UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key not in ("machine", "ledger")}, indent=2))
    print(f"written to {path}")
    return 0 if result["held"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0, help="how long events are offered (20)")
    parser.add_argument("--rate", type=int, default=20_000, help="events per second (20,000)")
    parser.add_argument("--seed", type=int, default=1, help="which processes die when (1)")
    parser.add_argument("--port-base", type=int, default=PORT_BASE, help=f"its ports start here ({PORT_BASE:,})")
    return parser


@contextmanager
def _home(port_base: int) -> Iterator[dict[str, bool]]:
    """A stack below a home of its own, wiped afterwards if all `held`; downloads are those of the project."""
    downloads = get_settings().downloads_dir
    own = {
        "HEADWATER_HOME": tempfile.mkdtemp(prefix="headwater-soak-"),
        "HEADWATER_PORT_BASE": str(port_base),
        "HEADWATER_DOWNLOADS_DIR": str(downloads),
    }
    Path(own["HEADWATER_HOME"]).chmod(0o755)
    os.environ |= own
    get_settings.cache_clear()
    outcome = {"held": False}
    try:
        embedded.up(SERVICES, print)
        yield outcome
    finally:
        embedded.down(print, wipe=outcome["held"])
        if not outcome["held"]:
            print(f"it did not hold: tables and logs stay in {own['HEADWATER_HOME']}")


def _soak(project: Path, rate: int, seconds: float, chance: random.Random) -> dict[str, Any]:
    supervision.start([clicks.NAME])
    watch, supervisor, meter = Watch(), Supervisor(), Meter()
    threads = [threading.Thread(target=one.run, name=type(one).__name__) for one in (supervisor, meter)]
    for thread in threads:
        thread.start()
    offer = Offer(rate, seconds, broken=True)
    killed: Counter[str] = Counter()
    try:
        offer.start()
        upkeep = _disturb(project, offer, seconds, chance, killed)
        count = offer.finish()
        waiting = time.monotonic()
        watch.await_events(count, CATCH_UP_SECONDS)
        caught_up = time.monotonic() - waiting
    finally:
        offer.stopping.set()
        supervisor.stop()
        meter.stop()
        for thread in threads:
            thread.join()
        watch.stop()
        supervision.stop()
    delays = watch.delays(offer)
    p50, p99, most = np.percentile(delays, [50, 99, 100])
    result = {"events": count, "killed": dict(killed), "repairs": supervisor.repairs, "failures": supervisor.failures}
    result |= {"event_to_clickhouse_p50_s": round(float(p50), 2), "event_to_clickhouse_p99_s": round(float(p99), 2)}
    result |= {"event_to_clickhouse_most_s": round(float(most), 2), "caught_up_s": round(caught_up, 1)}
    result |= {"slowest_by_minute_s": slowest_by_minute(offer, delays), "memory_mb": meter.megabytes()}
    result |= {"offered": {"begin": offer.begin, "versions": offer.versions}, "upkeep": upkeep}
    print(json.dumps(result), flush=True)  # should the judgement fail, it can be made again from this and the home
    verdict = judged(offer)
    disturbed = bool(killed) and upkeep["compaction"]["files_rewritten"] > 0
    return result | verdict | {"held": verdict["held"] and disturbed}


def _disturb(
    project: Path, offer: Offer, seconds: float, chance: random.Random, killed: Counter[str]
) -> dict[str, dict[str, Any]]:
    """Kill, build, change the schema, compact: until all is offered; what came of the last three."""
    begun = time.monotonic()
    done: dict[str, Future[dict[str, Any]]] = {}
    pool = ThreadPoolExecutor(3)
    plans = [
        (seconds / 4, lambda: done.update(silver=pool.submit(_build, offer))),
        (seconds / 3, lambda: done.update(schema=pool.submit(_add_column, project, offer))),
        (seconds / 2, lambda: done.update(compaction=pool.submit(_compact, offer))),
    ]
    plans += [(at, lambda: _kill(chance, killed)) for at in np.arange(KILL_SECONDS, seconds, KILL_SECONDS)]
    try:
        for at, do in sorted(plans, key=lambda plan: plan[0]):
            offer.stopping.wait(max(0.0, begun + at - time.monotonic()))
            passed = time.monotonic() - begun
            print(f"{passed:6.0f} s: {offer.next:,} events offered, killed {dict(killed)}", flush=True)
            if offer.error is None and at < seconds - CALM_SECONDS:
                do()
        return {name: future.result() for name, future in done.items()}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _kill(chance: random.Random, killed: Counter[str]) -> None:
    """One of those that run."""
    running = [found for name in VICTIMS if (found := processes.find(get_settings(), name)) is not None]
    if running:
        victim = chance.choice(running)
        victim.process.send_signal(signal.SIGKILL)
        killed[victim.name] += 1


def _add_column(project: Path, offer: Offer) -> dict[str, Any]:
    """The contract gains an optional column; events carry it from now on."""
    path = project / "schemas" / "contracts" / "bench" / "clicks.yaml"
    column = (
        "      - name: campaign\n        logicalType: string\n        physicalType: string\n"
        "        description: Came later\n"
    )
    mark = "      - name: click_date\n"
    path.write_text(path.read_text().replace(mark, column + mark).replace("version: 1.0.0", "version: 1.1.0"))
    until_it_works(lambda: clicks.run("contract", "generate"), offer.stopping)
    _, tries = until_it_works(lambda: clicks.run("contract", "apply", clicks.NAME), offer.stopping)
    until_it_works(offer.use_newest_schema, offer.stopping)
    return {"tries": tries, "first_event": offer.next}


def _build(offer: Offer) -> dict[str, Any]:
    told, tries = until_it_works(lambda: job("build_silver"), offer.stopping)
    return {"tries": tries} | {key: told[key] for key in ("mode", "rows", "seconds")}


def _compact(offer: Offer) -> dict[str, Any]:
    """Until it has rewritten something, as long as events are offered: there may be next to nothing yet."""
    while True:
        told, tries = until_it_works(lambda: job("maintain_tables", "--settled", "0"), offer.stopping)
        done = told[f"bronze.{clicks.NAME}"]["done"].get("compact", {})
        if done.get("files_rewritten") or not offer.running:
            return {"tries": tries, "seconds": told["seconds"], "files_rewritten": 0, **done}


if __name__ == "__main__":
    sys.exit(main())
