"""Changes of a source table as messages, on a real worker. Each test goes on from the one before."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time

import pytest
from confluent_kafka.admin import AdminClient
from tests.cdc import CapturedDatabase, ChangeReader
from typer.testing import CliRunner

from headwater.cdc import applying, source
from headwater.cdc.commands import app
from headwater.cdc.connector import Capture
from headwater.cdc.worker import Worker
from headwater.embedded import processes
from headwater.errors import TerminalError
from headwater.kafka import client_config

pytestmark = pytest.mark.integration


def cdc(*arguments: str, code: int = 0) -> dict:
    """The one line of JSON that a command prints."""
    answer = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def test_the_first_apply_makes_what_is_missing_and_says_so(bank: CapturedDatabase):
    planned = cdc("apply", "--dry-run")
    assert bank.one("SELECT count(*) FROM pg_publication") == 0
    done = cdc("apply")
    assert done["changes"] == planned["changes"]
    assert [one["place"] for one in done["changes"]] == ["source", "source", "source", "topic", "connector"]
    assert cdc("apply")["changes"] == []


def test_the_rows_that_are_there_come_first(bank: CapturedDatabase, reader: ChangeReader):
    found = reader.take(3)
    assert {one.op for one in found} == {"r"}
    rows = {one.key["account_id"]: one.value["after"] for one in found}
    assert rows[1] == {
        "account_id": 1,
        "owner_name": "Ada",
        "balance": "10.50",
        "opened_on": 18263,
        "changed_at": 1577934245678901,
    }
    assert rows[2]["balance"] is rows[2]["opened_on"] is rows[2]["changed_at"] is None
    assert (rows[3]["owner_name"], rows[3]["opened_on"], rows[3]["changed_at"]) == ("Cyd 𝒳", -1, -1_000_000)
    assert all(one.value["source"]["lsn"] for one in found)


def test_every_kind_of_change_arrives_with_the_row_before_and_after(bank: CapturedDatabase, reader: ChangeReader):
    bank.execute(
        "INSERT INTO bank.accounts VALUES (4, 'Dan', 1)",
        "UPDATE bank.accounts SET balance = 2 WHERE account_id = 4",
        "UPDATE bank.accounts SET account_id = 40 WHERE account_id = 4",
        "DELETE FROM bank.accounts WHERE account_id = 40",
    )
    found = reader.take(7)
    four = [(one.op, before(one), after(one)) for one in found if one.key == {"account_id": 4}]
    assert four == [
        ("c", None, (4, "1.00")),
        ("u", (4, "1.00"), (4, "2.00")),
        ("d", (4, "2.00"), None),
        ("tombstone", None, None),
    ]
    forty = [(one.op, before(one), after(one)) for one in found if one.key == {"account_id": 40}]
    assert forty == [("c", None, (40, "2.00")), ("d", (40, "2.00"), None), ("tombstone", None, None)]
    lsns = [one.value["source"]["lsn"] for one in found if one.value and one.key == {"account_id": 4}]
    assert lsns == sorted(lsns)
    assert all(json.loads(one.value["source"]["sequence"]) for one in found if one.value)


def before(message) -> tuple | None:
    return _amount(message.value["before"]) if message.value else None


def after(message) -> tuple | None:
    return _amount(message.value["after"]) if message.value else None


def _amount(row: dict | None) -> tuple | None:
    return (row["account_id"], row["balance"]) if row else None


def test_a_long_value_that_a_change_did_not_touch_is_whole(bank: CapturedDatabase, reader: ChangeReader):
    bank.execute("ALTER TABLE bank.accounts ALTER owner_name SET STORAGE EXTERNAL")
    bank.execute("INSERT INTO bank.accounts VALUES (5, repeat('é', 20000), 1)")
    bank.execute("UPDATE bank.accounts SET balance = 9 WHERE account_id = 5")
    created, updated = reader.take(2)
    assert (created.op, updated.op) == ("c", "u")
    assert updated.value["after"]["owner_name"] == updated.value["before"]["owner_name"] == "é" * 20_000


def test_a_value_that_no_decimal_has_stops_nothing(bank: CapturedDatabase, reader: ChangeReader):
    bank.execute("INSERT INTO bank.accounts VALUES (6, 'Eve', 'NaN')")
    (found,) = reader.take(1)
    assert found.value["after"]["balance"].upper() == "NAN"


def test_a_new_column_appears_with_a_schema_of_its_own(bank: CapturedDatabase, reader: ChangeReader):
    bank.execute("INSERT INTO bank.accounts VALUES (7, 'Fay', 1)")
    bank.execute("ALTER TABLE bank.accounts ADD COLUMN email text DEFAULT 'none'")
    bank.execute("INSERT INTO bank.accounts (account_id, owner_name, email) VALUES (8, 'Gil', 'g@example.org')")
    bank.execute("ALTER TABLE bank.accounts DROP COLUMN opened_on")
    bank.execute("ALTER TABLE bank.accounts ALTER balance TYPE numeric(20,4)")
    bank.execute("UPDATE bank.accounts SET balance = 1234567890123456.7891 WHERE account_id = 8")
    found = {(one.op, one.key["account_id"]): one for one in reader.take(3)}
    old, new, dropped = found["c", 7], found["c", 8], found["u", 8]
    assert "email" not in old.value["after"]
    assert new.value["after"]["email"] == "g@example.org"
    assert "opened_on" not in dropped.value["after"]
    assert dropped.value["after"]["balance"] == "1234567890123456.7891"
    assert len({old.schema_id, new.schema_id, dropped.schema_id}) == 3


def test_a_truncate_arrives(bank: CapturedDatabase, reader: ChangeReader):
    bank.execute("TRUNCATE bank.accounts")
    (found,) = reader.take(1)
    assert (found.op, found.key, found.value["before"], found.value["after"]) == ("t", None, None, None)


def test_tables_are_read_anew_by_signal(bank: CapturedDatabase, reader: ChangeReader):
    bank.execute("INSERT INTO bank.accounts (account_id, owner_name) SELECT n, 'n' || n FROM generate_series(1, 50) n")
    reader.take(50)
    assert cdc("resnapshot", "--dataset", "accounts") == {"rows": {"bank.accounts": 50}}
    found = reader.take(50)
    assert {(one.op, one.value["source"]["snapshot"]) for one in found} == {("r", "incremental")}
    assert sorted(one.key["account_id"] for one in found) == list(range(1, 51))
    report = cdc("status")
    assert report["good"]
    assert report["datasets"][0]["snapshot"].startswith("incremental snapshot: 50 rows read")


def test_the_password_is_nowhere_to_be_read(bank: CapturedDatabase, reader: ChangeReader):
    password = bank.settings.postgres_password.get_secret_value()
    with Worker(bank.settings) as worker:
        config = worker.config(bank.capture.connector)
    assert config["database.password"] == "${env:HEADWATER_POSTGRES_PASSWORD}"
    assert password not in processes.log_file(bank.settings, "connect").read_text()


def test_an_idle_source_still_moves_the_slot(bank: CapturedDatabase, reader: ChangeReader):
    bank.execute("CREATE TABLE other (n int)", "INSERT INTO other SELECT generate_series(1, 1000)")
    here = bank.one("SELECT pg_current_wal_lsn()")
    moved = "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
    deadline = time.monotonic() + 30
    while not bank.one(moved, here, bank.capture.slot):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert cdc("status")["heartbeat_seconds"] < 30


def test_a_worker_that_was_killed_goes_on_and_loses_nothing(bank: CapturedDatabase, reader: ChangeReader):
    running = processes.find(bank.settings, "connect")
    bank.execute("INSERT INTO bank.accounts (account_id, owner_name) SELECT n, '' FROM generate_series(101, 600) n")
    os.kill(running.pid, signal.SIGKILL)
    bank.execute("INSERT INTO bank.accounts (account_id, owner_name) SELECT n, '' FROM generate_series(601, 700) n")
    assert CliRunner().invoke(app, ["status"]).exception.retryable
    look = cdc("supervise")
    assert (look["found"], look["did"], look["note"]) == ("no worker", "restarted", "it runs")
    keys = set(range(101, 701))
    found = reader.until(lambda messages: keys <= {one.key["account_id"] for one in messages})
    assert {one.op for one in found} == {"c"}


def test_a_task_that_fails_is_told_and_mended_by_apply(bank: CapturedDatabase, reader: ChangeReader):
    name, url = bank.capture.connector, "value.converter.apicurio.registry.url"
    with Worker(bank.settings) as worker:
        worker.configure(name, {**worker.config(name), url: "http://127.0.0.1:1/apis/registry/v3"})
        bank.execute("DELETE FROM bank.accounts WHERE account_id = 700")
        worker.await_state(name, "fail", lambda state: state.failed)
    assert cdc("status", code=1)["cause"]
    done = applying.apply(bank.settings, bank.capture)
    assert [one.what for one in done] == [f"{name}: change {url}"]
    reader.until(lambda messages: ("d", 700) in {(one.op, one.key["account_id"]) for one in messages if one.key})


def test_a_lost_slot_is_an_error_until_everything_is_read_anew(bank: CapturedDatabase, reader: ChangeReader):
    name = bank.capture.connector
    with Worker(bank.settings) as worker:
        worker.stop(name)
        with source.connected(bank.settings, bank.capture.database) as connection:
            source.drop_slot(connection, bank.capture)
        bank.execute("INSERT INTO bank.accounts (account_id, owner_name) VALUES (800, 'lost')")
        worker.resume(name)
        worker.await_state(name, "fail", lambda state: state.failed)
    assert cdc("supervise")["did"] == "given up", "a restart cannot bring back what the log has lost"
    told = cdc("status", code=1)["restarts"]
    assert (told["restarts"], "headwater cdc remove" in told["given_up"]) == (0, True)
    with pytest.raises(TerminalError, match="headwater cdc remove"):
        bank.apply()
    list(applying.remove(bank.settings, bank.capture))
    bank.apply()
    reader.until(lambda messages: 800 in {one.key["account_id"] for one in messages if one.op == "r"})


def test_a_table_that_joins_is_read_while_changes_stream(bank: CapturedDatabase, reader: ChangeReader):
    branches = dataclasses.replace(bank.dataset, name="branches", source_name="bank.branches")
    both = Capture(bank.capture.database, (bank.dataset, branches))
    bank.execute("CREATE TABLE bank.branches (LIKE bank.accounts INCLUDING ALL)")
    bank.execute("INSERT INTO bank.branches (account_id, owner_name) SELECT n, '' FROM generate_series(1, 20) n")
    done = [(one.place, one.what) for one in applying.apply(bank.settings, both)]
    assert ("snapshot", "read bank.branches, while its changes stream") in done
    assert list(applying.apply(bank.settings, both)) == []
    bank.execute("DELETE FROM bank.branches WHERE account_id = 20")
    joined = ChangeReader(bank.settings, branches.topic)
    keys = {("r", n) for n in range(1, 20)} | {("d", 20)}
    joined.until(lambda messages: keys <= {(one.op, one.key["account_id"]) for one in messages})
    joined.close()
    left = [one.what for one in bank.apply()]
    assert f"publication {both.slot}: drop bank.branches" in left
    client = AdminClient(client_config(bank.settings))
    client.delete_topics([branches.topic])[branches.topic].result(30)
