"""Each way to falsify the trail, on a chain in memory; tests/faults/serving/test_fault_28 does the same in Postgres."""

from __future__ import annotations

import fcntl
import json
import threading
from dataclasses import replace

import pytest

from headwater.audit.anchoring import Anchor, AnchorBroken
from headwater.audit.chain import GENESIS, link
from headwater.audit.entries import Entry, canonical
from headwater.audit.verifying import Fault, judge
from headwater.settings import Settings

AT = "2026-01-02T03:04:05.000006+00:00"
Row = tuple[int, bytes, bytes, str]


def chain(texts: list[str], after: Row | None = None) -> list[Row]:
    rows, digest, first = [], after[2] if after else GENESIS, after[0] + 1 if after else 1
    for number, text in enumerate(texts, first):
        before, digest = digest, link(digest, number, text)
        rows.append((number, before, digest, text))
    return rows


def texts(count: int = 10) -> list[str]:
    return [canonical(Entry(f"user{number}", "mcp", "query", rows=number), AT) for number in range(count)]


@pytest.fixture
def anchor(tmp_path) -> Anchor:
    return Anchor(Settings(home=tmp_path))


@pytest.fixture
def rows(anchor: Anchor) -> list[Row]:
    made = chain(texts())
    for number in (4, 8):
        anchor.append(number, made[number - 1][2])
    return made


def found(rows: list[Row], anchor: Anchor) -> tuple[Fault | None, int | None]:
    verdict = judge(rows, list(anchor.checkpoints()))
    assert verdict.sound == (verdict.fault is None)
    return verdict.fault, verdict.sequence


def test_an_untouched_chain_is_sound(rows, anchor):
    verdict = judge(rows, list(anchor.checkpoints()))
    assert verdict.sound
    assert (verdict.entries, verdict.checkpoints, verdict.anchored) == (10, 2, 8)


def test_no_entries_are_sound(anchor):
    assert judge([], list(anchor.checkpoints())).sound


def test_an_edited_entry_is_named(rows, anchor):
    rows[4] = (*rows[4][:3], rows[4][3].replace("user4", "user5"))
    assert found(rows, anchor) == (Fault.EDITED, 5)


def test_an_edited_entry_with_its_hash_made_anew_is_told_by_the_next(rows, anchor):
    number, before, _, _ = rows[4]
    text = texts()[0]
    rows[4] = (number, before, link(before, number, text), text)
    assert found(rows, anchor) == (Fault.UNLINKED, 6)


def test_a_deleted_entry_is_named(rows, anchor):
    del rows[4]
    assert found(rows, anchor) == (Fault.MISSING, 5)


def test_two_entries_that_changed_places_are_named(rows, anchor):
    rows[4], rows[5] = (5, *rows[5][1:]), (6, *rows[4][1:])
    assert found(rows, anchor) == (Fault.UNLINKED, 5)


def test_a_tail_that_is_cut_off_is_caught_by_the_anchor(rows, anchor):
    assert found(rows[:6], anchor) == (Fault.CUT, 7)


def test_all_of_it_gone_is_caught_by_the_anchor(rows, anchor):
    assert found([], anchor) == (Fault.CUT, 1)


def test_a_chain_rebuilt_from_an_entry_on_is_caught_by_the_anchor(rows, anchor):
    rebuilt = [*rows[:5], *chain(["{}"] * 5, after=rows[4])]
    assert found(rebuilt, anchor) == (Fault.REBUILT, 5)  # the first that no checkpoint holds


def test_a_chain_rebuilt_as_a_whole_is_caught_by_the_anchor(rows, anchor):
    assert found(chain(["{}"] * 10), anchor) == (Fault.REBUILT, 1)


def test_a_tail_that_was_cut_off_and_has_grown_again_is_caught_by_what_the_anchor_has_seen_twice(rows, anchor):
    grown = [*rows[:6], *chain(["{}"] * 4, after=rows[5])]
    anchor.append(8, grown[7][2])
    anchor.append(10, grown[9][2])
    assert found(grown, anchor) == (Fault.REBUILT, 5)


def test_two_checkpoints_that_say_the_same_are_sound(rows, anchor):
    anchor.append(8, rows[7][2])
    assert found(rows, anchor) == (None, None)


def test_entries_without_any_checkpoint_prove_nothing(rows, anchor):
    anchor.path.unlink()
    assert found(rows, anchor) == (Fault.ANCHORS, None)


@pytest.mark.parametrize("line", [0, 1])
@pytest.mark.parametrize("change", [{"sequence": 3}, {"hash": "00" * 32}, {"at": AT}, {"signature": "00" * 64}])
def test_a_checkpoint_that_was_changed_is_named(rows, anchor, line, change):
    lines = anchor.path.read_text().splitlines()
    lines[line] = json.dumps(json.loads(lines[line]) | change)
    anchor.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(AnchorBroken, match=f":{line + 1}"):
        list(anchor.checkpoints())


def test_a_checkpoint_that_was_taken_out_is_noticed(rows, anchor):
    anchor.path.write_text(anchor.path.read_text().splitlines()[1] + "\n")
    with pytest.raises(AnchorBroken):
        list(anchor.checkpoints())


def test_a_checkpoint_that_another_key_has_signed_is_refused(rows, anchor, tmp_path):
    other = Anchor(Settings(home=tmp_path / "elsewhere"))
    other.append(4, bytes(32))
    anchor.path.write_bytes(other.path.read_bytes())
    with pytest.raises(AnchorBroken):
        list(anchor.checkpoints())


@pytest.mark.parametrize("torn", [b'{"number": 3, "sequ', b"\0" * 100])
def test_a_checkpoint_that_was_not_written_to_its_end_is_cut_off_by_the_next(rows, anchor, torn):
    whole = anchor.path.read_bytes()
    anchor.path.write_bytes(whole + torn)
    assert found(rows, anchor) == (None, None)
    anchor.append(10, rows[9][2])
    assert anchor.path.read_bytes().startswith(whole + b'{"number": 3,')
    assert [point.sequence for point in anchor.checkpoints()] == [4, 8, 10]


def test_a_first_checkpoint_that_was_not_written_to_its_end_is_cut_off(anchor):
    anchor.path.parent.mkdir(exist_ok=True)
    anchor.path.write_bytes(b'{"numb')
    assert [anchor.append(1, bytes(32))] == list(anchor.checkpoints())


def test_checkpoints_are_not_read_while_one_is_written(rows, anchor):
    read = threading.Thread(target=lambda: list(anchor.checkpoints()))
    with anchor.path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        read.start()
        read.join(0.2)
        assert read.is_alive()
    read.join(10)
    assert not read.is_alive()


def test_the_signing_key_is_for_its_owner_alone_and_is_made_once(anchor, tmp_path):
    anchor.append(1, bytes(32))
    key = tmp_path / "audit" / "signing.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    assert Anchor(Settings(home=tmp_path)).public_pem() == anchor.public_pem()
    assert [path.name for path in key.parent.iterdir() if path != anchor.path] == [key.name]


def test_two_processes_append_to_one_chain_of_checkpoints(anchor, tmp_path):
    other = Anchor(Settings(home=tmp_path))
    for number, one in enumerate((anchor, other, anchor, other), 1):
        one.append(number, bytes(32))
    assert [point.number for point in anchor.checkpoints()] == [1, 2, 3, 4]
    assert replace(next(anchor.checkpoints()), at="").previous == next(other.checkpoints()).previous
