"""What comes of an entry that cannot be written; tests/faults/serving/test_fault_28 writes into a real Postgres."""

from __future__ import annotations

import socket
import time
from concurrent.futures import Future

import pytest

from headwater.audit import writing
from headwater.audit.entries import Entry
from headwater.audit.writing import MOST_REFUSED, Auditor, AuditUnavailable
from headwater.settings import Settings

ENTRY = Entry("ann", "mcp", "query")


@pytest.fixture
def auditor(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    made = Auditor(Settings(home=tmp_path, postgres_host="127.0.0.1", postgres_port=port))
    yield made
    made.close()


def test_without_postgres_every_entry_is_refused_at_once(auditor):
    for _ in range(3):
        with pytest.raises(AuditUnavailable, match="cannot be written"):
            auditor.record(ENTRY)


def test_many_at_once_are_all_refused(auditor):
    for future in [auditor.submit(ENTRY) for _ in range(200)]:
        assert isinstance(future.exception(timeout=30), AuditUnavailable)


def test_a_postgres_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "WAIT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        made = Auditor(Settings(home=tmp_path, postgres_host="127.0.0.1", postgres_port=silent.getsockname()[1]))
        begun = time.monotonic()
        with pytest.raises(AuditUnavailable, match="took more than"):
            made.record(ENTRY)
        assert time.monotonic() - begun < 2.5
        made.close()


def test_an_error_that_nobody_expects_denies_one_batch_and_not_those_after_it(auditor, monkeypatch):
    def broken(entries):
        raise UnicodeError("a surprise")

    monkeypatch.setattr(auditor, "_write", broken)
    with pytest.raises(AuditUnavailable, match="UnicodeError"):
        auditor.record(ENTRY)
    monkeypatch.setattr(auditor, "_write", lambda entries: 7)
    assert auditor.record(ENTRY) == 7


def test_a_checkpoint_that_fails_in_a_way_nobody_expects_denies_until_one_can_be_written(auditor, monkeypatch):
    def broken(sequence, digest):
        raise KeyError("number")

    def write(entries):
        auditor._unanchored += len(entries)
        return 7

    monkeypatch.setattr(auditor, "_write", write)
    monkeypatch.setattr(auditor._anchor, "append", broken)
    auditor._anchored_at = float("-inf")
    assert auditor.record(ENTRY) == 7
    with pytest.raises(AuditUnavailable):
        auditor.record(ENTRY)
    monkeypatch.setattr(auditor._anchor, "append", lambda sequence, digest: None)
    assert auditor.record(ENTRY) == 7


def test_nothing_is_written_after_the_end(auditor):
    auditor.close()
    with pytest.raises(AuditUnavailable, match="closed"):
        auditor.record(ENTRY)


def test_a_flood_of_strangers_is_counted_and_not_written_down_one_by_one(auditor, monkeypatch):
    kept: list[Entry] = []

    def submit(entry: Entry) -> Future[int]:
        kept.append(entry)
        return Future()

    monkeypatch.setattr(auditor, "submit", submit)
    for _ in range(MOST_REFUSED + 500):
        auditor.refused("api", "192.0.2.1")
    assert len(kept) == MOST_REFUSED
    now = time.monotonic() + 61
    monkeypatch.setattr(writing.time, "monotonic", lambda: now)
    auditor.refused("api", "192.0.2.1")
    assert kept[-1].reason == "not authenticated, and 500 more in a minute before"
    assert kept[-1].facts()["reason"] == kept[-1].reason
