"""Fault 28: an audit entry is edited, deleted, reordered, the tail cut, the whole chain rebuilt.

Done in Postgres by its superuser, with the guard taken off, on a trail of its own; then `headwater audit verify` names
the first bad entry. And what comes of it when the trail cannot be written: nobody is answered.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from tests.faults.serving.conftest import Guarded
from tests.recording import record_many
from typer.testing import CliRunner

from headwater.audit import commands
from headwater.audit.anchoring import Anchor
from headwater.audit.chain import GENESIS, link
from headwater.audit.entries import Entry
from headwater.audit.verifying import Fault, verify
from headwater.audit.writing import Auditor, AuditUnavailable
from headwater.embedded import processes
from headwater.embedded import stack as embedded
from headwater.embedded.services import SERVICES
from headwater.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.fault]

ENTRIES = 40
FIRST_ANCHOR = 20
DATABASE = "falsified"


@dataclass
class Trail:
    """A trail in a database of its own, with two checkpoints: at 20 and at 40."""

    settings: Settings
    connection: psycopg.Connection

    def change(self, *statements: str) -> None:
        """As the superuser, with the guard off."""
        with self.connection.transaction():
            self.connection.execute("ALTER TABLE audit_entries DISABLE TRIGGER audit_append_only")
            for statement in statements:
                self.connection.execute(statement.encode())
            self.connection.execute("ALTER TABLE audit_entries ENABLE TRIGGER audit_append_only")

    def rebuild(self, first: int, edit: Callable[[str], str]) -> None:
        """Write the entries from `first` on anew, with right hashes."""
        rows = self.connection.execute("SELECT sequence, hash, entry FROM audit_entries ORDER BY 1").fetchall()
        digest = bytes(rows[first - 2][1]) if first > 1 else GENESIS
        statements = [f"DELETE FROM audit_entries WHERE sequence >= {first}"]
        for number, _, text in rows[first - 1 :]:
            before, digest = digest, link(digest, number, edit(text))
            values = f"{number}, '\\x{before.hex()}', '\\x{digest.hex()}', $x${edit(text)}$x$"
            statements.append(f"INSERT INTO audit_entries VALUES ({values})")
        self.change(*statements)


@pytest.fixture
def trail(guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trail]:
    settings = guarded.settings.model_copy(
        update={
            "postgres_platform_database": DATABASE,
            "home": tmp_path,
            "audit_checkpoint_entries": FIRST_ANCHOR,
            "audit_checkpoint_seconds": 3600.0,
        }
    )
    with psycopg.connect(guarded.settings.postgres_dsn("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        try:
            auditor = Auditor(settings)
            for number in range(ENTRIES):
                auditor.record(Entry(f"user{number}", "mcp", "query", rows=number))
            auditor.close()
            monkeypatch.setattr(commands, "get_settings", lambda: settings)
            with psycopg.connect(settings.postgres_dsn(DATABASE), autocommit=True) as connection:
                yield Trail(settings, connection)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(DATABASE)))


def told() -> tuple[int, str | None, int | None]:
    """What the command says: its exit code, the fault, the first bad entry."""
    done = CliRunner().invoke(commands.app, ["verify", "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    verdict = json.loads(done.stdout)
    assert verdict["sound"] == (done.exit_code == 0)
    return done.exit_code, verdict["fault"], verdict["sequence"]


def test_an_untouched_trail_is_sound(trail):
    verdict = verify(trail.settings)
    assert verdict.sound, verdict
    assert (verdict.entries, verdict.anchored) == (ENTRIES, ENTRIES)
    assert [point.sequence for point in Anchor(trail.settings).checkpoints()] == [FIRST_ANCHOR, ENTRIES]


@pytest.mark.parametrize(
    ("statements", "fault", "first"),
    [
        (["UPDATE audit_entries SET entry = replace(entry, 'user6', 'user7') WHERE sequence = 7"], Fault.EDITED, 7),
        (["DELETE FROM audit_entries WHERE sequence = 7"], Fault.MISSING, 7),
        (["DELETE FROM audit_entries WHERE sequence = 1"], Fault.MISSING, 1),
        (
            [
                "DELETE FROM audit_entries WHERE sequence = 7",
                "UPDATE audit_entries SET sequence = sequence - 1 WHERE sequence > 7",
            ],
            Fault.UNLINKED,
            7,
        ),
        (
            [
                "UPDATE audit_entries a SET previous = b.previous, hash = b.hash, entry = b.entry FROM audit_entries b"
                " WHERE (a.sequence, b.sequence) IN ((7, 9), (9, 7))"
            ],
            Fault.UNLINKED,
            7,
        ),
        (["DELETE FROM audit_entries WHERE sequence > 30"], Fault.CUT, 31),
        (["DELETE FROM audit_entries"], Fault.CUT, 1),
    ],
    ids=["edited", "deleted", "first deleted", "deleted and closed up", "reordered", "tail cut", "all gone"],
)
def test_what_was_falsified_is_named(trail, statements, fault, first):
    trail.change(*statements)
    assert told() == (1, fault, first)


def test_a_chain_rebuilt_with_right_hashes_is_caught_by_the_anchor(trail):
    trail.rebuild(30, lambda text: text.replace("user35", "user36"))
    assert told() == (1, Fault.REBUILT, FIRST_ANCHOR + 1)


def test_the_whole_chain_rebuilt_is_caught_by_the_anchor(trail):
    trail.rebuild(1, lambda text: text.replace("user6", "nobody"))
    assert told() == (1, Fault.REBUILT, 1)


@pytest.mark.parametrize("more", [10, 15])
def test_a_tail_cut_and_written_on_is_caught_by_the_anchor(trail, more):
    """The writer goes on after what it finds; the checkpoint still says what entry 40 was, and so does a second one."""
    trail.change("DELETE FROM audit_entries WHERE sequence > 30")
    auditor = Auditor(trail.settings)
    for _ in range(more):
        auditor.record(Entry("somebody", "mcp", "query"))
    auditor.close()
    assert told() == (1, Fault.REBUILT, FIRST_ANCHOR + 1)


def test_checkpoints_that_were_falsified_too_are_refused(trail):
    trail.rebuild(1, lambda text: text.replace("user6", "nobody"))
    Anchor(trail.settings).path.unlink()
    assert told()[:2] == (1, Fault.ANCHORS)


def test_postgres_itself_refuses_to_change_an_entry(trail):
    for statement in ("UPDATE audit_entries SET entry = ''", "DELETE FROM audit_entries", "TRUNCATE audit_entries"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            trail.connection.execute(statement)
    trail.connection.execute("SET ROLE headwater_audit")
    for statement in ("ALTER TABLE audit_entries DISABLE TRIGGER ALL", "DROP TABLE audit_entries"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            trail.connection.execute(statement)


def test_several_processes_write_one_chain(trail):
    """Three processes with four threads each, at the same time: no gap, no fork."""
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=record_many, args=(trail.settings, f"process{number}", 4, 25)) for number in range(3)
    ]
    for one in others:
        one.start()
    for one in others:
        one.join(60)
        assert one.exitcode == 0
    verdict = verify(trail.settings)
    assert verdict.sound, verdict
    assert verdict.entries == ENTRIES + 3 * 4 * 25


def test_without_the_right_to_insert_nobody_is_answered(guarded):
    query = "SELECT count() FROM fct_sales"
    gate = guarded.gate()
    with psycopg.connect(guarded.settings.postgres_dsn(guarded.settings.postgres_platform_database)) as connection:
        connection.autocommit = True
        known = gate.authenticated(f"Bearer {guarded.provider.token('not.recorded')}")
        assert guarded.ask(query, bearer=guarded.provider.token("not.recorded")).status_code == 200
        connection.execute("REVOKE INSERT ON audit_entries FROM headwater_audit")
        try:
            with pytest.raises(AuditUnavailable), gate.ask(known, "query") as asking:
                asking.answered(datasets=["fct_sales"], rows=1, sql=query)
            answer = guarded.ask(query, bearer=guarded.provider.token("not.recorded"))
            assert "ACCESS_DENIED" in answer.text
            assert "audit trail" in answer.text
        finally:
            connection.execute("GRANT INSERT ON audit_entries TO headwater_audit")
        assert guarded.ask(query, bearer=guarded.provider.token("not.recorded")).status_code == 200
    with gate.ask(known, "query") as asking:
        asking.answered(datasets=["fct_sales"], rows=1, sql=query)
    gate.close()


def test_with_postgres_stopped_nobody_is_answered_and_then_all_goes_on(guarded):
    query = "SELECT count() FROM fct_sales"
    token = guarded.provider.token("not.recorded")
    gate = guarded.gate()
    known = gate.authenticated(f"Bearer {token}")
    with gate.ask(known, "query") as asking:
        asking.answered(rows=1)
    for spec in SERVICES["postgres"].processes(guarded.settings):
        processes.stop(guarded.settings, spec)
    try:
        with pytest.raises(AuditUnavailable), gate.ask(known, "query"):
            pass
        assert guarded.ask(query, bearer=token).status_code in (403, 500)
    finally:
        embedded.up(["postgres"], print)
    assert guarded.ask(query, bearer=token).status_code == 200
    with gate.ask(known, "query") as asking:
        asking.answered(rows=1)
    gate.close()
    assert verify(guarded.settings).sound
