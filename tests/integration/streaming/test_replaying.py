"""Replay and discard on real tables and a real Postgres: what lands, once, and what is on record of it."""

import io
import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import pytest
from tests.conftest import environment
from tests.integration.streaming.bronze import Bronze, new_bronze, row, unreadable
from tests.streams import CHECKOUT, TRANSACTIONS, sale
from typer.testing import CliRunner

from headwater.audit.reading import Sought, search
from headwater.contracts.avro import avro_schema
from headwater.contracts.loader import load_contracts, load_dataset
from headwater.contracts.releases import release
from headwater.policy.loader import load_policy
from headwater.settings import Settings, get_settings
from headwater.streaming import attempts, landing, quarantine_access, quarantine_commands, replaying
from headwater.streaming.accounting import ledger_of
from headwater.streaming.attempts import Run, attempts_at
from headwater.streaming.broker import Topic
from headwater.streaming.landing import REPLAY, Landing
from headwater.streaming.ledger import nearest_account
from headwater.streaming.quarantine import Selection, quarantine_of
from headwater.streaming.replaying import Means, discard, export, replay
from headwater.streaming.verification import compare, row_ranges

pytestmark = pytest.mark.integration

MORNING = datetime(2026, 3, 1, 8, tzinfo=UTC)
FIRST = Means(schema_version=1)


@pytest.fixture
def bronze(stack: Settings, tmp_path: Path) -> Iterator[Bronze]:
    """Offsets 0 to 4 on two days: a sale, two unframed ones, noise, and a sale of -1 pieces, which silver refused."""
    made = new_bronze()
    negative = row(4, 4, quantity=-1, _ingested_at=MORNING)
    made.commit(
        row(0, 0, _ingested_at=MORNING),
        unreadable(1, unframed(1), _ingested_at=MORNING),
        unreadable(2, unframed(2), _ingested_at=MORNING - timedelta(days=1)),
        unreadable(3, b"noise", _ingested_at=MORNING),
        negative,
    )
    made.refuse({**negative, "_kafka_topic_id": made.account.topic_id, "_rule": ["quantity_minimum"]})
    with environment(HEADWATER_PROJECT_DIR=str(tmp_path)):
        assert release(made.dataset) is not None
        yield made


def unframed(number: int) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, avro_schema(load_dataset(TRANSACTIONS)), sale(number))
    return buffer.getvalue()


def rows(bronze: Bronze) -> list[dict[str, Any]]:
    found = bronze.table.scan().to_arrow().to_pylist()
    return sorted(found, key=lambda one: (one["_kafka_offset"], one["_attempt"]))


def landed(bronze: Bronze) -> list[tuple[int, int]]:
    return [(one["_kafka_offset"], one["_attempt"]) for one in rows(bronze) if one["_attempt"]]


def listed(bronze: Bronze, **selection: Any) -> list[int]:
    return sorted(record.offset for record in quarantine_of(bronze.dataset, Selection(**selection)))


def patch(tmp_path: Path, **values: Any) -> Means:
    path = tmp_path / "patch.json"
    path.write_text(json.dumps(values))
    return Means(patch=path)


def outcomes(bronze: Bronze, offset: int) -> list[tuple[str, str, int, str]]:
    found = attempts_at(bronze.dataset.name, 0, offset)
    return [(one["action"], one["outcome"], one["attempt"], one["reason"]) for one in found]


def test_what_can_be_read_lands_at_its_own_place_once(bronze: Bronze):
    first = replay(bronze.dataset, Selection(stage="decode"), FIRST, who="ann")
    again = replay(bronze.dataset, Selection(stage="decode"), FIRST, who="bob")

    assert (first.landing, len(first.lines)) == (2, 3)
    assert (again.landing, [line.record.offset for line in again.lines]) == (0, [3])
    assert landed(bronze) == [(1, 1), (2, 1)]
    repaired = {one["_kafka_offset"]: one for one in rows(bronze) if one["_attempt"]}
    assert {name: repaired[2][name] for name in sale(2)} == sale(2)
    assert (repaired[2]["_error"], repaired[2]["_raw"]) == (None, None)
    assert (repaired[2]["_kafka_topic_id"], repaired[2]["_kafka_key"]) == ("T1", b"7")
    assert repaired[2]["_ingested_at"] == MORNING - timedelta(days=1)
    assert listed(bronze) == [3, 4]


def test_one_snapshot_names_the_replay_and_every_attempt_is_on_record(bronze: Bronze):
    before = bronze.table.metadata.current_snapshot_id
    done = replay(bronze.dataset, Selection(stage="decode"), FIRST, who="ann")
    replay(bronze.dataset, Selection(stage="decode"), FIRST, who="ann")

    head = bronze.table.current_snapshot()
    assert head is not None
    assert head.summary is not None
    assert (head.parent_snapshot_id, head.snapshot_id) == (before, done.snapshot_id)
    assert (head.summary.operation.value, head.summary[REPLAY]) == ("append", done.run)
    (attempt,) = attempts_at(bronze.dataset.name, 0, 1)
    told = (attempt["outcome"], attempt["attempt"], attempt["who"], attempt["how"], attempt["snapshot_id"])
    assert told == ("landed", 1, "ann", "schema version 1", done.snapshot_id)
    assert [(action, outcome, number) for action, outcome, number, _ in outcomes(bronze, 3)] == [
        ("replay", "failed", 0),
        ("replay", "failed", 0),
    ]
    assert outcomes(bronze, 3)[0][3].startswith("undecodable_avro")


def test_a_dry_run_says_the_same_and_changes_nothing(bronze: Bronze):
    before = bronze.table.metadata.current_snapshot_id
    would = replay(bronze.dataset, means=FIRST, dry_run=True)

    assert bronze.table.metadata.current_snapshot_id == before
    assert [outcomes(bronze, offset) for offset in range(5)] == [[]] * 5
    did = replay(bronze.dataset, means=FIRST)
    said, done = ({line.record.offset: (line.lands, line.reasons) for line in one.lines} for one in (would, did))
    assert said == done
    assert {offset: lands for offset, (lands, _) in said.items()} == {1: True, 2: True, 3: False, 4: False}
    assert said[4][1] == ("quantity_minimum",)


def test_a_patched_row_lands_and_is_out_of_quarantine_before_silver_has_seen_it(bronze: Bronze, tmp_path: Path):
    done = replay(bronze.dataset, Selection(stage="rule"), patch(tmp_path, quantity=3), who="ann")

    assert done.landing == 1
    assert landed(bronze) == [(4, 1)]
    after = rows(bronze)[-1]
    assert {name: after[name] for name in sale(4)} == sale(4, quantity=3)
    assert listed(bronze) == [1, 2, 3]
    assert replay(bronze.dataset, Selection(stage="rule"), patch(tmp_path, quantity=3)).lines == ()
    assert attempts_at(bronze.dataset.name, 0, 4)[0]["how"] == 'patch patch.json: {"quantity": 3}'


def test_a_row_that_silver_refuses_again_is_in_quarantine_again(bronze: Bronze, tmp_path: Path):
    replay(bronze.dataset, Selection(stage="rule"), patch(tmp_path, quantity=3))
    refused = {**row(4, 4, quantity=3), "_kafka_topic_id": "T1", "_attempt": 1, "_rule": ["a_new_rule"]}
    bronze.refuse(refused)

    assert [(r.offset, r.attempt, r.reasons) for r in quarantine_of(bronze.dataset, Selection(stage="rule"))] == [
        (4, 1, ("a_new_rule",))
    ]
    assert replay(bronze.dataset, Selection(stage="rule")).landing == 1
    assert landed(bronze) == [(4, 1), (4, 2)]


def test_the_account_the_ledger_and_its_verification_stay_as_they_were(bronze: Bronze, tmp_path: Path):
    topic = Topic(bronze.dataset.topic, "T1", {0: 0}, {0: 5})
    before = [ledger_of(bronze.dataset, topic, exact=exact) for exact in (False, True)]
    replay(bronze.dataset, means=FIRST)
    replay(bronze.dataset, Selection(stage="rule"), patch(tmp_path, quantity=3))

    assert [ledger_of(bronze.dataset, topic, exact=exact) for exact in (False, True)] == before
    account = nearest_account(bronze.table)
    assert account is not None
    assert account.offsets == {0: 5}
    assert compare(row_ranges(bronze.table, account)[0], 0, 5) == ([], [], [])
    bronze.commit(row(5, 5))
    head = bronze.table.metadata.current_snapshot_id
    assert nearest_account(bronze.table) == replace(bronze.account, snapshot_id=head, added=1)


def test_a_replays_snapshot_has_the_account_of_the_batch_before_it(bronze: Bronze):
    """The live follower records a position at each snapshot: not that of a batch which it has yet to take."""
    done = replay(bronze.dataset, means=FIRST)
    bronze.commit(row(5, 5))

    found = nearest_account(bronze.table, done.snapshot_id)
    assert found is not None
    assert found.offsets == {0: 5}


def test_more_than_are_judged_at_once(bronze: Bronze, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replaying, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(landing, "ROWS_AT_ONCE", 1)
    assert replay(bronze.dataset, means=FIRST).landing == 2
    assert landed(bronze) == [(1, 1), (2, 1)]


def test_a_row_that_bronze_no_longer_has_fails_and_says_so(bronze: Bronze):
    refused = {**row(9, 9, quantity=-1), "_kafka_topic_id": "T1", "_rule": ["quantity_minimum"]}
    bronze.refuse(refused)
    (line,) = replay(bronze.dataset, Selection(offsets=(9, 9))).lines
    assert (line.lands, line.reasons) == (False, (replaying.GONE,))


def test_two_at_the_same_time_land_each_record_once(bronze: Bronze):
    done = []
    both = [threading.Thread(target=lambda: done.append(replay(bronze.dataset, means=FIRST))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()

    assert sorted(one.landing for one in done) == [0, 2]
    assert landed(bronze) == [(1, 1), (2, 1)]


def test_another_writer_in_between_is_no_loss(bronze: Bronze):
    ours = Landing(bronze.table, uuid.uuid4().hex)
    ours.add({**rows(bronze)[0], "_attempt": 1})
    bronze.commit(row(5, 5))

    assert ours.commit() == bronze.table.metadata.current_snapshot_id
    assert [one["_kafka_offset"] for one in rows(bronze)] == [0, 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("committed", [True, False])
def test_a_replay_that_was_killed_is_settled_by_the_next(bronze: Bronze, committed: bool):
    run = Run(uuid.uuid4().hex, bronze.dataset.name, "replay", "ann")
    attempts.note(run, [(("t", "T1", 0, 1, 1), attempts.PENDING, "")])
    if committed:
        ours = Landing(bronze.table, run.id)
        ours.add({**row(1, 1, _ingested_at=MORNING, _attempt=1), "_kafka_topic_id": "T1"})
        ours.commit()

    replay(bronze.dataset, Selection(offsets=(1, 1)), FIRST, who="bob")

    expected = ["landed"] if committed else ["abandoned", "landed"]
    assert [outcome for _, outcome, _, _ in outcomes(bronze, 1)] == expected
    assert landed(bronze) == [(1, 1)]


def test_what_is_discarded_stays_in_bronze_and_can_be_brought_back(bronze: Bronze):
    snapshot = bronze.table.metadata.current_snapshot_id
    assert len(discard(bronze.dataset, Selection(stage="decode"), why="a test of the till", dry_run=True)) == 3
    assert listed(bronze) == [1, 2, 3, 4]

    found = discard(bronze.dataset, Selection(stage="decode"), why="a test of the till", who="ann")
    again = discard(bronze.dataset, Selection(stage="decode"), why="a test of the till", who="ann")

    assert ([record.offset for record in found], again) == ([3, 1, 2], [])
    assert (listed(bronze), listed(bronze, discarded=True)) == ([4], [1, 2, 3])
    assert bronze.table.metadata.current_snapshot_id == snapshot
    assert outcomes(bronze, 3) == [("discard", "discarded", 0, "a test of the till")]
    assert replay(bronze.dataset, Selection(stage="decode"), FIRST).lines == ()
    assert replay(bronze.dataset, Selection(discarded=True), FIRST).landing == 2
    assert (landed(bronze), listed(bronze, discarded=True)) == ([(1, 1), (2, 1)], [3])


@pytest.mark.parametrize(
    ("selection", "offsets"),
    [
        ({"reason": "quantity_minimum"}, [4]),
        ({"stage": "decode"}, [1, 2, 3]),
        ({"offsets": (2, 3)}, [2, 3]),
        ({"partition": 1}, []),
        ({"since": MORNING}, [1, 3, 4]),
        ({"until": MORNING}, [2]),
        ({"stage": "decode", "since": MORNING, "limit": 1}, [3]),
    ],
)
def test_picks(bronze: Bronze, selection: dict[str, Any], offsets: list[int]):
    assert listed(bronze, **selection) == offsets


def test_a_version_that_was_not_released_is_refused_before_anything_is_tried(bronze: Bronze):
    with pytest.raises(replaying.TerminalError, match="version 9"):
        replay(bronze.dataset, means=Means(schema_version=9))
    assert outcomes(bronze, 1) == []


def test_exported_lines_hold_bytes_and_columns(bronze: Bronze, tmp_path: Path):
    path = tmp_path / "out.jsonl"
    assert export(bronze.dataset, Selection(offsets=(3, 4)), path) == 2
    lines = {line["offset"]: line for line in map(json.loads, path.read_text().splitlines())}
    assert (lines[3]["stage"], bytes.fromhex(lines[3]["row"]["_raw"])) == ("decode", b"noise")
    assert (lines[4]["reasons"], lines[4]["row"]["quantity"], lines[4]["row"]["sales_value"]) == (
        ["quantity_minimum"],
        -1,
        "1.25",
    )


def test_the_commands(bronze: Bronze, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quarantine_commands, "_stream", lambda name: bronze.dataset)
    contracts = load_contracts(CHECKOUT / "schemas" / "contracts")
    policy = load_policy(CHECKOUT / "schemas" / "policies", contracts)
    monkeypatch.setattr(quarantine_access, "in_force", lambda: policy)
    name, mend = bronze.dataset.name, tmp_path / "mend.json"
    mend.write_text('{"quantity": 1}')

    def run(*arguments: str) -> tuple[int, Any]:
        done = CliRunner().invoke(quarantine_commands.app, [*arguments, "--json"])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.stdout)

    code, facts = run("replay", name, "--schema-version", "1", "--dry-run")
    assert (code, facts["landed"], facts["failed"], facts["run"]) == (1, 2, 2, None)
    code, facts = run("replay", name, "--stage", "rule", "--patch", str(mend), "--who", "ann")
    assert (code, facts["landed"], facts["failed"]) == (0, 1, 0)
    code, facts = run("discard", name, "--offsets", "1-3", "--why", "noise", "--yes")
    assert (code, facts["discarded"]) == (0, 3)
    assert run("export", name, "--output", str(tmp_path / "x"), "--discarded")[1]["records"] == 3
    told = CliRunner().invoke(quarantine_commands.app, ["replay", name]).stdout
    assert told.splitlines()[-1] == "nothing in quarantine is asked for"

    entries = list(search(get_settings(), Sought(dataset=name), limit=20))
    found = [(one["tool"], one["who"], one["outcome"]) for one in reversed(entries)]
    assert ("quarantine.replay", "ann", "allowed") in found
    assert [tool for tool, _, _ in found].count("quarantine.export") == 1
    masked = get_settings().model_copy(update={"quarantine_group": "analysts"})
    monkeypatch.setattr(quarantine_access, "get_settings", lambda: masked)
    refused = CliRunner().invoke(quarantine_commands.app, ["export", name, "--output", str(tmp_path / "y")])
    assert isinstance(refused.exception, quarantine_access.NotForYou)
    assert not (tmp_path / "y").exists()
    assert next(search(get_settings(), Sought(dataset=name), limit=1))["outcome"] == "denied"
