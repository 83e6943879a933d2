"""One lock per table: who holds it is named, who is killed loses it."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid

import psycopg
import pytest

from headwater.lake.locks import LockLost, TableLocked, lock_key, table_lock
from headwater.settings import Settings

pytestmark = pytest.mark.integration

HOLD = """
import sys
from headwater.lake.locks import table_lock
with table_lock(sys.argv[1], purpose="test"):
    print("held", flush=True)
    sys.stdin.read()
"""


def new_table() -> str:
    return f"gold.lock_{uuid.uuid4().hex[:8]}"


def test_a_held_lock_is_refused_naming_its_holder_until_the_holder_is_killed(stack: Settings) -> None:
    table = new_table()
    command = [sys.executable, "-c", HOLD, table]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(TableLocked, match=rf"headwater test on {table} \(process {holder.pid}\)") as caught,
            table_lock(f"lake.{table}", wait_seconds=0.2),
        ):
            pass
        assert caught.value.retryable
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with table_lock(table, wait_seconds=10) as lock:
            lock.assert_held()


def test_locks_of_different_tables_do_not_meet(stack: Settings) -> None:
    with table_lock(new_table()), table_lock(new_table(), wait_seconds=0.2) as second:
        second.assert_held()


def test_a_lock_whose_session_the_server_has_ended_is_known_to_be_lost(stack: Settings) -> None:
    table = new_table()
    dsn = stack.postgres_dsn(stack.postgres_platform_database)
    with table_lock(table) as lock, psycopg.connect(dsn, autocommit=True) as other:
        key = lock_key(table) & (2**64 - 1)
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks "
            "WHERE locktype = 'advisory' AND classid::bigint = %s AND objid::bigint = %s",
            (key >> 32, key & (2**32 - 1)),
        )
        with pytest.raises(LockLost, match="nothing was published"):
            lock.assert_held()
