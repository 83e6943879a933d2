"""What is filled into the form of the `quarantine` DAG is what the command is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.append(str(PROJECT / "plugins"))

from airflow.sdk.exceptions import AirflowFailException  # noqa: E402
from tests.dags.test_dag_policy import loaded  # noqa: E402

from headwater_airflow.quarantine import command  # noqa: E402

EMPTY = dict.fromkeys(
    ("reason", "stage", "partition", "offsets", "since", "until", "limit", "patch", "schema_version", "why")
)


def told(decision: str, *, dry_run: bool = True, **params) -> list[str]:
    return command({**EMPTY, "dataset": "transactions", "decision": decision, "dry_run": dry_run, **params}, "ann")


@pytest.fixture(scope="module")
def dag():
    return loaded(PROJECT / "dags")["quarantine"]


def test_the_form_begins_with_what_changes_nothing(dag):
    assert dag.schedule is None
    assert (dag.params["decision"], dag.params["dry_run"]) == ("list", True)
    (task,) = dag.tasks
    assert task.retries == 0, "a record that fails again is not tried again by itself"


def test_every_field_of_the_form_is_known_and_its_default_valid(dag):
    assert set(dag.params) == {"dataset", "decision", "dry_run", *EMPTY}
    dag.params.validate()
    assert set(dag.params.get_param("dataset").schema["enum"]) == {"transactions", "coupon_redemptions"}


def test_an_empty_form_asks_for_everything():
    assert told("list") == ["quarantine", "list", "transactions"]
    assert told("replay", dry_run=False) == ["quarantine", "replay", "transactions", "--who=ann"]


def test_filters_are_handed_on_and_times_are_utc():
    filters = {"reason": "-odd", "stage": "rule", "partition": 0, "offsets": "5-9", "limit": 10}
    times = {"since": "2026-03-01T09:00:00+01:00", "until": "2026-03-02 00:00:00"}
    assert told("list", **filters, **times)[3:] == [
        *("--reason=-odd", "--stage=rule", "--partition=0", "--offsets=5-9", "--limit=10"),
        *("--since=2026-03-01T08:00:00", "--until=2026-03-02T00:00:00"),
    ]


def test_a_decision_is_only_made_when_dry_run_is_cleared():
    assert "--dry-run" in told("replay", schema_version=2)
    assert "--schema-version=2" in told("replay", schema_version=2)
    discard = told("discard", why="noise", dry_run=False)
    assert ("--dry-run" in discard, "--yes" in discard, "--why=noise" in discard) == (False, True, True)


def test_what_contradicts_itself_is_refused_without_another_try():
    with pytest.raises(AirflowFailException, match="reason why"):
        told("discard")
    with pytest.raises(AirflowFailException, match="for a replay"):
        told("list", patch={"quantity": 1})


def test_every_option_is_one_of_the_command(dag):
    """So that a renamed option is noticed here, and not by whoever fills in the form."""
    from typer.main import get_command

    from headwater.streaming.quarantine_commands import app

    full = {"reason": "x", "stage": "rule", "partition": 0, "offsets": "1", "limit": 1}
    full |= {"since": "2026-03-01", "until": "2026-03-02"}
    for decision, means in (("list", {}), ("replay", {"schema_version": 1}), ("discard", {"why": "x"})):
        known = {name for one in get_command(app).commands[decision].params for name in one.opts}
        used = {argument.partition("=")[0] for argument in told(decision, **full, **means) if argument.startswith("-")}
        assert used <= known, decision
