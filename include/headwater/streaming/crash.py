"""Crash points, for tests of crash safety: at the one that `HEADWATER_STREAM_CRASH_AT` names, the process is killed.

Python and JVM get the signal at once, without a word to anybody: SIGKILL, or, with
`HEADWATER_STREAM_CRASH_SIGNAL=SIGSTOP`, it is stopped there until somebody sends SIGCONT, as when a virtual machine is
paused. Where the setting is empty, which is always but in tests, nothing of this does anything.

`after-decode`            the batch was decoded, nothing of it is written
`during-bronze-commit`    all files are written, the catalog is about to swap the table's metadata
`after-bronze-commit`     the batch is in bronze, and nobody was told
`during-insert`           ClickHouse has received half of an insert
`after-insert`            ClickHouse has answered an insert
`before-position`         all of a snapshot is in the live table, and that is not recorded
`after-position`          it is recorded
"""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil
import psycopg
import pyarrow as pa

from headwater.settings import Settings, get_settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from pyspark.sql import DataFrame

_WAITS = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
_passed = threading.Event()


def armed(point: str) -> bool:
    """Whether the process is to crash at this point, and has not yet."""
    return get_settings().stream_crash_at == point and not _passed.is_set()


def reached(point: str) -> None:
    """Crash if this is the point."""
    if armed(point):
        _crash()


def decoded(rows: DataFrame) -> None:
    """Crash once the batch was decoded: Spark would not have done it yet."""
    if armed("after-decode"):
        rows.write.format("noop").mode("overwrite").save()
        _crash()


@contextmanager
def committing(settings: Settings, dataset: str, connection_name: str) -> Iterator[None]:
    """Crash while the commit in this block waits in the catalog for the row of the table to become free.

    The row is kept locked by a connection that bears the writer's name as well: it is part of the process that crashes.
    """
    if not armed("during-bronze-commit"):
        yield
        return
    dsn = settings.postgres_dsn(settings.postgres_catalog_database)
    holding = psycopg.connect(dsn, application_name=connection_name)
    holding.execute(
        "SELECT 1 FROM iceberg_tables WHERE table_namespace = 'bronze' AND table_name = %s FOR UPDATE", (dataset,)
    )
    threading.Thread(target=_crash_when_it_waits, args=(dsn, connection_name, holding), daemon=True).start()
    yield


def _crash_when_it_waits(dsn: str, connection_name: str, holding: psycopg.Connection) -> None:
    with psycopg.connect(dsn, autocommit=True) as watching:
        while watching.execute(_WAITS, (connection_name,)).fetchone() is None:
            time.sleep(0.01)
        _crash()
    holding.close()


def inserting(client: Client, table: str, rows: pa.Table, token: str) -> None:
    """Crash when ClickHouse has half of an insert."""
    if not armed("during-insert"):
        return
    body = io.BytesIO()
    with pa.ipc.new_stream(body, rows.schema) as stream:
        stream.write_table(rows)

    def halves() -> Generator[bytes, None, None]:
        yield body.getvalue()[: body.tell() // 2]
        time.sleep(0.5)  # the half is on its way: only the other side could say that it has arrived
        _crash()

    client.raw_insert(table, insert_block=halves(), settings={"insert_deduplication_token": token}, fmt="ArrowStream")


def _crash() -> None:
    _passed.set()
    number = signal.Signals[get_settings().stream_crash_signal]
    for child in psutil.Process().children(recursive=True):
        with suppress(ProcessLookupError):
            os.kill(child.pid, number)
    # A signal to a process may be taken by any of its threads, and this one would run on for a moment: long enough to
    # let go what it holds. One to this thread takes effect before its next instruction, and then on the whole process.
    signal.pthread_kill(threading.get_ident(), number)
