"""The replay on the real broker and registry, each test with a topic and a subject of its own."""

import io
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from datetime import date

import fastavro
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from headwater.contracts.avro import avro_schema
from headwater.contracts.registry import RegistryClient
from headwater.errors import TerminalError
from headwater.kafka import client_config
from headwater.sources import broken, topics
from headwater.sources.events import event_source
from headwater.sources.pace import Rate
from headwater.sources.replay import Replay, Selection
from headwater.sources.subjects import RegisteredSchema, newest_schema

pytestmark = pytest.mark.integration
PARTITIONS = 4


@pytest.fixture
def topic(stack):
    name = f"test.replay.{uuid.uuid4().hex[:8]}"
    admin = AdminClient(client_config(stack))
    new = NewTopic(name, PARTITIONS, 1, config={"max.message.bytes": str(16 * 1024 * 1024)})
    admin.create_topics([new])[name].result(30)
    yield name
    admin.delete_topics([name])[name].result(30)


@pytest.fixture
def schema(topic) -> RegisteredSchema:
    with RegistryClient() as registry:
        registry.register(f"{topic}-value", avro_schema(event_source("transactions").dataset))
    return newest_schema(f"{topic}-value")


@pytest.fixture
def replay(topic, schema):
    def run(start=None, end=None, limit=None, pace=None, progress=None, **options):
        return Replay("transactions", Selection(start, end, limit), topic=topic, schema=schema, **options).run(
            pace, progress
        )

    return run


def _decoded(topic: str, schema: RegisteredSchema) -> list[dict]:
    """The topic's events, decoded with fastavro by the id in their own header."""
    parsed = fastavro.parse_schema(dict(schema.schema))
    events = []
    for message in topics.records(topic):
        assert message.value()[0] == 0
        assert int.from_bytes(message.value()[1:5]) == schema.id
        event = fastavro.schemaless_reader(io.BytesIO(message.value()[5:]), parsed)
        events.append(event | {"key": message.key(), "partition": message.partition()})
    return events


def test_every_selected_row_is_one_event_with_the_values_of_its_row(topic, schema, replay):
    result = replay(limit=3000)
    assert (result.selected, result.already_there, result.sent) == (3000, 0, 3000)
    source = event_source("transactions")
    expected = {row["event_id"]: row for row in source.events(source.rows(limit=3000), schema.version).to_pylist()}
    events = _decoded(topic, schema)
    assert len(events) == 3000
    for event in events:
        row = expected[event["event_id"]]
        assert event["key"] == str(event["household_id"]).encode()
        assert event["event_timestamp"].replace(tzinfo=None) == row["event_timestamp"]
        assert {name: event[name] for name in row if name != "event_timestamp"} == {
            name: value for name, value in row.items() if name != "event_timestamp"
        }


def test_a_household_keeps_its_partition_and_its_order(topic, schema, replay):
    replay(limit=3000)
    times, places = defaultdict(list), defaultdict(set)
    for event in _decoded(topic, schema):
        times[event["household_id"]].append(event["event_timestamp"])
        places[event["household_id"]].add(event["partition"])
    assert all(seen == sorted(seen) for seen in times.values())
    assert all(len(seen) == 1 for seen in places.values())
    assert {place for seen in places.values() for place in seen} == set(range(PARTITIONS))


def test_a_second_replay_sends_only_what_is_missing(topic, replay):
    replay(limit=500)
    assert replay(limit=500).sent == 0
    more = replay(limit=800)
    assert (more.already_there, more.sent) == (500, 300)
    assert sum(1 for _ in topics.records(topic)) == 800


def test_ranges_may_come_in_any_order(topic, replay):
    later = replay(date(2017, 1, 2), date(2017, 1, 3))
    both = replay(date(2017, 1, 1), date(2017, 1, 3))
    assert both.already_there == later.sent > 0
    assert len(topics.event_ids(topic)) == both.selected


def test_a_restart_repeats_the_same_event_ids(topic, replay):
    replay(limit=200)
    assert replay(limit=200, restart=True).sent == 200
    assert sum(1 for _ in topics.records(topic)) == 400
    assert len(topics.event_ids(topic)) == 200


def test_a_rate_is_kept_and_the_progress_ends_with_the_acknowledged(replay):
    told = []
    result = replay(limit=300, pace=Rate(300), progress=told.append)
    assert result.seconds >= 0.99
    assert told == sorted(told)
    assert told[-1] == 300


def test_a_replay_that_was_killed_goes_on_without_gap_or_repeat(topic, schema, replay):
    code = (
        "import sys; from headwater.sources.replay import Replay, Selection; from headwater.sources.pace import Rate;"
        "from headwater.sources.subjects import newest_schema;"
        "topic = sys.argv[1]; schema = newest_schema(topic + '-value');"
        "plan = Replay('transactions', Selection(limit=20000), topic=topic, schema=schema);"
        "plan.run(Rate(2000), lambda done: print(done, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", code, topic], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 1000:
                break
        os.kill(process.pid, signal.SIGKILL)
    sent_before = sum(1 for _ in topics.records(topic))
    assert 1000 <= sent_before < 20000
    result = replay(limit=20000)
    assert result.sent == 20000 - sent_before
    assert sum(1 for _ in topics.records(topic)) == len(topics.event_ids(topic)) == 20000


def test_a_topic_that_ends_with_a_transactions_marker_is_read_to_its_end(topic):
    producer = Producer(client_config(transactional_id=topic))
    producer.init_transactions(120)
    producer.begin_transaction()
    producer.produce(topic, b"value", partition=1)
    producer.commit_transaction(120)
    # The commit is acknowledged before its markers are in the partitions; until then readers see nothing of it.
    deadline = time.monotonic() + 60
    while not (found := [(m.partition(), m.value()) for m in topics.records(topic)]):
        assert time.monotonic() < deadline
    assert found == [(1, b"value")]


def test_a_topic_that_is_missing_is_told_with_the_remedy_and_not_created(stack, schema):
    with pytest.raises(TerminalError, match="contract apply"):
        Replay("transactions", Selection(limit=1), topic="test.replay.missing", schema=schema)
    assert "test.replay.missing" not in AdminClient(client_config(stack)).list_topics(timeout=30).topics


def test_a_subject_that_is_missing_is_told_with_the_remedy(stack):
    with pytest.raises(TerminalError, match="contract apply"):
        newest_schema("test.replay.no-such-subject-value")


def test_broken_records_arrive_once_however_often_they_are_sent(topic, schema):
    first = broken.send_broken(topic, schema)
    second = broken.send_broken(topic, schema)
    assert [record.sent for record in first] == [True] * 8
    assert [record.sent for record in second] == [False] * 8
    wanted = sorted((r.record.key or b"", r.record.value) for r in first)
    assert sorted((m.key() or b"", m.value() or b"") for m in topics.records(topic)) == wanted


def test_broken_records_do_not_disturb_the_resumption(topic, schema, replay):
    replay(limit=100)
    broken.send_broken(topic, schema)
    result = replay(limit=150)
    assert (result.already_there, result.sent) == (100, 50)
