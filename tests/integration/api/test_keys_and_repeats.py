"""Who may send, how much, and what a repeated request gets."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest
from click.testing import Result
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource
from fastapi.testclient import TestClient
from tests.conftest import free_port_base
from tests.integration.api.conftest import Sending, event
from typer.testing import CliRunner

from headwater.api.app import build_app
from headwater.api.commands import app
from headwater.audit.reading import Sought, search
from headwater.contracts.model import Contracts
from headwater.settings import Settings

pytestmark = pytest.mark.integration


def kind(answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["type"].rpartition(":")[2]


def test_without_a_valid_key_nothing_is_taken(sending: Sending):
    wrong = sending.key[:-1] + ("A" if sending.key[-1] != "A" else "B")
    for key in ("", "x", wrong):
        answer = sending.post(event(1), key=key)
        assert (answer.status_code, kind(answer)) == (401, "no-such-key")
    assert sending.stored() == []


def test_a_revoked_key_is_refused_at_once(sending: Sending):
    assert sending.post(event(1)).status_code == 202
    sending.keys.revoke(sending.key.split("_")[1])
    assert sending.post(event(2)).status_code == 401
    assert sending.ids() == ["1-1"]


def test_a_key_sends_to_its_datasets_only(sending: Sending):
    other, _ = sending.keys.create("other", ["elsewhere"], 10)
    assert sending.post(event(1), key=other).status_code == 403
    assert sending.post(event(1), path="/v1/events/nothing").status_code == 404
    assert sending.stored() == []


def test_who_sends_and_who_may_not_is_on_the_audit_trail(sending: Sending, stack: Settings):
    name = sending.case.dataset.name
    other, kept = sending.keys.create("other", ["elsewhere"], 10)
    assert sending.post(event(1), key=other).status_code == 403
    assert sending.post([event(1), event(2)]).status_code == 202
    assert sending.post([event(3), {"nothing": 1}]).status_code == 422
    denied, sent = search(stack, Sought(dataset=name, tool="events"))
    assert (denied["who"], denied["outcome"], denied["reason"]) == (f"key:{kept.key_id}", "denied", "dataset")
    assert sent["who"] == f"key:{sending.key.split('_')[1]}"
    assert (sent["surface"], sent["outcome"], sent["rows"], sent["source"]) == ("api", "allowed", 2, "testclient")

    sending.post(event(4), key="x")
    sending.post(event(4))  # a stranger's entry is not waited for; those that come after it are in order
    entries = list(search(stack, Sought(surface="api"), limit=2))
    assert [one["who"] for one in entries] == [sent["who"], "unauthenticated"]


def test_a_quota_that_is_used_up_says_when_to_come_again(sending: Sending):
    few, _ = sending.keys.create("few", [], 3)
    assert kind(sending.post([event(n) for n in range(4)], key=few)) == "beyond-quota"
    # The minute may change between two requests: nine events are more than two minutes give.
    answers = [sending.post([event(10 * n), event(10 * n + 1), event(10 * n + 2)], key=few) for n in range(3)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert all(kind(answer) == "quota" and 0 < int(answer.headers["retry-after"]) <= 60 for answer in refused)
    assert len(sending.stored()) == 3 * (3 - len(refused))


def test_a_repeat_gets_the_first_answer_and_sends_nothing(sending: Sending):
    name = {"Idempotency-Key": "a"}
    first = sending.post([event(1), event(2)], headers=name)
    second = sending.post([event(1), event(2)], headers=name)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert ("idempotency-replayed" in first.headers, second.headers.get("idempotency-replayed")) == (False, "true")
    other = sending.post([event(1), event(3)], headers=name)
    assert (other.status_code, kind(other)) == (422, "idempotency-key-reused")
    assert sending.ids() == ["1-1", "2-1"]


def test_a_refused_request_does_not_use_its_idempotency_key_up(sending: Sending):
    name = {"Idempotency-Key": "b"}
    assert sending.post(event(1, week=0), headers=name).status_code == 422
    assert sending.post(event(1), headers=name).status_code == 202
    assert sending.ids() == ["1-1"]


def test_the_same_idempotency_key_of_another_sender_is_another(sending: Sending):
    other, _ = sending.keys.create("other", [], 10)
    assert sending.post(event(1), headers={"Idempotency-Key": "c"}).status_code == 202
    assert sending.post(event(2), headers={"Idempotency-Key": "c"}, key=other).status_code == 202
    assert sending.ids() == ["1-1", "2-1"]


def headwater(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["key", *arguments])


def test_keys_are_made_listed_and_revoked_from_the_command_line(stack: Settings):
    made = json.loads(headwater("create", "till 7", "--dataset", "transactions", "--json").stdout)
    listed = headwater("list", "--json").stdout
    (one,) = [key for key in json.loads(listed) if key["key_id"] == made["key_id"]]
    assert (one["name"], one["datasets"], one["revoked_at"]) == ("till 7", ["transactions"], None)
    assert made["key"].split("_", 2)[2] not in listed
    revoked = json.loads(headwater("revoke", made["key_id"], "--json").stdout)["revoked_at"]
    assert datetime.fromisoformat(revoked) <= datetime.now(UTC)
    assert "no API key" in str(headwater("revoke", "nobody").exception)
    assert "transactions" in str(headwater("create", "x", "--dataset", "stores").exception)


def test_of_requests_at_once_with_one_idempotency_key_one_is_sent(sending: Sending):
    with ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(lambda _: sending.post(event(1), headers={"Idempotency-Key": "d"}), range(8)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert [a.status_code for a in answers if "idempotency-replayed" not in a.headers].count(202) == 1
    assert len({answer.text for answer in answers if answer.status_code == 202}) == 1
    assert sending.ids() == ["1-1"]


def test_connections_that_the_server_has_closed_are_replaced(sending: Sending, stack: Settings):
    assert sending.post(event(1)).status_code == 202
    with psycopg.connect(stack.postgres_dsn(stack.postgres_platform_database), autocommit=True) as connection:
        end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'headwater api'"
        assert connection.execute(end).fetchone() >= (1,)
    assert sending.post(event(2)).status_code == 202


@pytest.mark.parametrize("away", ["postgres_port", "registry_url"])
def test_where_a_service_is_away_nothing_is_taken(sending: Sending, stack: Settings, away: str):
    port = free_port_base()
    settings = stack.model_copy(update={away: port if away == "postgres_port" else f"http://127.0.0.1:{port}"})
    contracts = Contracts({sending.case.dataset.name: sending.case.dataset})
    with TestClient(build_app(settings, contracts)) as client:
        answer = client.post(sending.path, json=event(1), headers={"Authorization": f"Bearer {sending.key}"})
    assert (answer.status_code, kind(answer)) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert sending.stored() == []


def test_a_batch_of_which_the_broker_has_a_part_is_told_event_by_event(sending: Sending):
    """One partition's records are refused (too long for the topic, which was made stricter), the other's are there."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, sending.case.dataset.topic)
    stricter = ConfigEntry("max.message.bytes", "20000", incremental_operation=AlterConfigOpType.SET)
    resource.add_incremental_config(stricter)
    sending.case.admin.incremental_alter_configs([resource])[resource].result()
    used = events_used(sending)
    batch = [event(n, household_id=n) for n in range(40)]
    batch[0]["event_id"] = os.urandom(60_000).hex()  # does not compress
    answer = sending.post(batch)

    body = answer.json()
    assert (answer.status_code, kind(answer)) == (503, "not-acknowledged")
    told = {one["index"]: (one["partition"], one["offset"]) for one in body["acknowledged"]}
    assert told
    assert 0 in body["unknown"]
    assert sorted([*told, *body["unknown"]]) == list(range(40))
    stored = {one["event_id"]: (one["partition"], one["offset"]) for one in sending.stored()}
    assert stored == {batch[index]["event_id"]: place for index, place in told.items()}
    assert events_used(sending) - used == len(told), "what did not arrive costs nothing"


def events_used(sending: Sending) -> int:
    with sending.keys._database.connection() as connection:
        key_id = sending.key.split("_")[1]
        row = connection.execute("SELECT events FROM api_usage WHERE key_id = %s", (key_id,)).fetchone()
    return row[0] if row else 0
