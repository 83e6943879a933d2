"""The audit trail: what an entry costs a caller who waits for it, and how long a million take to verify.

In a database and a folder of its own, on the running stack's Postgres; both are gone afterwards.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from bench.measure import MILLION, Measurement, timed
from bench.topics import Context
from headwater.audit.anchoring import Anchor
from headwater.audit.chain import GENESIS, ensure_table, link
from headwater.audit.entries import Entry, canonical
from headwater.audit.verifying import verify
from headwater.audit.writing import Auditor
from headwater.settings import Settings, get_settings

DATABASE = "audit_bench"
WRITERS = ((1, 1000), (10, 300), (100, 100))
ENTRIES_PER_SECOND = 1000.0
VERIFIED_WITHIN_SECONDS = 60.0
CHECKPOINT_EVERY = 1000
ENTRY = Entry(
    "some.analyst",
    "mcp",
    "query",
    "reporting",
    ("fct_sales", "dim_store"),
    "fct_sales: store_id IN user.stores",
    rows=100,
    policy_version="0123456789ab",
    source="192.0.2.17",
    statement="0123456789abcdef0123456789abcdef",
)


def measure_audit(context: Context) -> list[Measurement]:
    """A line per number of callers, then the verification; a row is an entry."""
    with tempfile.TemporaryDirectory() as home, _database(Path(home)) as settings:
        written = [_write(settings, callers, entries) for callers, entries in WRITERS]
        count = context.asked or MILLION
        _fill(settings, count)
        with timed() as timing:
            verdict = verify(settings)
    if not verdict.sound:
        raise RuntimeError(f"the trail is not sound: {verdict}")
    seconds = timing.seconds
    passed = seconds < VERIFIED_WITHIN_SECONDS * verdict.entries / MILLION
    notes = {"checkpoints": verdict.checkpoints}
    verified = Measurement("entries verified", verdict.entries, seconds, timing.cpu_seconds, passed=passed, notes=notes)
    return [*written, verified]


def _write(settings: Settings, callers: int, entries: int) -> Measurement:
    """So many callers, each waiting for its entry before it makes the next."""
    auditor = Auditor(settings)
    auditor.record(ENTRY)
    found: list[list[float]] = [[] for _ in range(callers)]

    def call(waits: list[float]) -> None:
        for _ in range(entries):
            begun = time.perf_counter()
            auditor.record(ENTRY)
            waits.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=call, args=(waits,)) for waits in found]
    with timed() as timing:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    auditor.close()
    waits = [wait for one in found for wait in one]
    if len(waits) != callers * entries:
        raise RuntimeError(f"{callers * entries - len(waits)} entries were not written")
    cuts = statistics.quantiles(waits, n=100)
    notes = {f"p{p}_ms": round(cuts[p - 1] * 1000, 2) for p in (50, 95, 99)}
    target = ENTRIES_PER_SECOND if callers == max(WRITERS)[0] else None
    what = f"entries recorded, {callers} callers"
    return Measurement(what, len(waits), timing.seconds, timing.cpu_seconds, at_least=target, notes=notes)


def _fill(settings: Settings, count: int) -> None:
    """Go on with the chain to `count` entries by COPY, with a checkpoint for every thousand."""
    anchor = Anchor(settings)
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    with psycopg.connect(settings.postgres_dsn(DATABASE)) as connection:
        last = connection.execute("SELECT sequence, hash FROM audit_entries ORDER BY 1 DESC LIMIT 1").fetchone()
        number, digest = (last[0], bytes(last[1])) if last else (0, GENESIS)
        with connection.cursor() as cursor, cursor.copy("COPY audit_entries FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "bytea", "bytea", "text"])
            for sequence in range(number + 1, count + 1):
                text = canonical(ENTRY, at)
                before, digest = digest, link(digest, sequence, text)
                copy.write_row((sequence, before, digest, text))
                if sequence % CHECKPOINT_EVERY == 0:
                    anchor.append(sequence, digest)


@contextmanager
def _database(home: Path) -> Iterator[Settings]:
    settings = get_settings().model_copy(update={"postgres_platform_database": DATABASE, "home": home})
    with psycopg.connect(settings.postgres_dsn("postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        admin.execute(f"CREATE DATABASE {DATABASE}")
        try:
            with psycopg.connect(settings.postgres_dsn(DATABASE)) as connection:
                ensure_table(connection)
            yield settings
        finally:
            admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
