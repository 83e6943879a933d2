"""The `quarantine` DAG's one task, run as a task is: the command in a process of its own, on real tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import environment
from tests.integration.streaming.bronze import Bronze, new_bronze, row
from tests.streams import CHECKOUT, StreamCase, in_force, own_policy, own_project, stream_case

from headwater.settings import Settings
from headwater.streaming.attempts import attempts_at
from headwater.streaming.quarantine import quarantine_of

sys.path.append(str(CHECKOUT / "plugins"))

from airflow.sdk.exceptions import AirflowFailException

from headwater_airflow.quarantine import QuarantineOperator

pytestmark = pytest.mark.integration

FORM = dict.fromkeys(
    ("reason", "stage", "partition", "offsets", "since", "until", "limit", "patch", "schema_version", "why")
)


@pytest.fixture
def bronze(stack: Settings, tmp_path: Path) -> Iterator[Bronze]:
    """Two sales of a negative number of pieces, which silver refused; the contract is the project's only one."""
    case: StreamCase = stream_case(stack)
    own_project(case, tmp_path)
    own_policy(case.dataset.roles, tmp_path)
    made = new_bronze(dataset=case.dataset)
    rows = [row(n, n, quantity=-1, _kafka_topic=case.dataset.topic) for n in range(2)]
    made.commit(*rows)
    made.refuse(*({**one, "_kafka_topic_id": made.account.topic_id, "_rule": ["quantity_minimum"]} for one in rows))
    with environment(HEADWATER_PROJECT_DIR=str(tmp_path)), in_force(tmp_path):
        yield made


def run(bronze: Bronze, decision: str, **params: Any) -> None:
    """As the scheduler would, with what the form says."""
    task = QuarantineOperator(task_id="decide")
    form = {**FORM, "dataset": bronze.dataset.name, "decision": decision, "dry_run": False, **params}
    task.execute({"params": form, "dag_run": SimpleNamespace(triggering_user_name="ann")})


def test_the_form_is_a_replay_or_a_discard_in_the_name_of_who_triggered_it(bronze: Bronze):
    run(bronze, "replay", offsets="0", patch={"quantity": 2})
    assert [record.offset for record in quarantine_of(bronze.dataset)] == [1]
    (attempt,) = attempts_at(bronze.dataset.name, 0, 0)
    how = 'patch patch.json: {"quantity": 2}'
    assert (attempt["outcome"], attempt["who"], attempt["how"]) == ("landed", "ann", how)

    with pytest.raises(AirflowFailException, match="reason why"):
        run(bronze, "discard")
    run(bronze, "discard", why="noise of a test till")
    assert quarantine_of(bronze.dataset) == []
