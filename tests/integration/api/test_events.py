"""Events over HTTP on the real broker, registry and Postgres, each test with a stream of its own."""

import io
import json
from datetime import UTC, datetime

import fastavro
import pytest
from tests.integration.api.conftest import Sending, event
from tests.streams import sale, schema_with

pytestmark = pytest.mark.integration


def test_an_event_is_in_the_topic_where_the_answer_says(sending: Sending):
    answer = sending.post(event(5))
    assert answer.status_code == 202, answer.text
    (place,) = answer.json()["events"]
    (found,) = sending.stored()
    assert place == {"index": 0, "partition": found.pop("partition"), "offset": found.pop("offset")}
    assert found.pop("key") == b"5"
    assert found == sale(5)
    assert found["event_timestamp"] == datetime(2017, 3, 1, 10, tzinfo=UTC)


def test_the_envelope_is_filled_from_the_contract(sending: Sending):
    bare = {k: v for k, v in event(1).items() if k not in ("event_type", "source_system", "schema_version")}
    assert sending.post(bare).status_code == 202
    assert {k: sending.stored()[0][k] for k in sale(1)} == sale(1)


def test_every_event_of_a_batch_is_where_the_answer_says(sending: Sending):
    answer = sending.post([event(n) for n in range(300)])
    assert answer.status_code == 202, answer.text
    told = {(e["partition"], e["offset"]): f"{e['index']}-1" for e in answer.json()["events"]}
    assert told == {(e["partition"], e["offset"]): e["event_id"] for e in sending.stored()}
    assert len(told) == 300


def test_a_batch_with_a_bad_event_is_refused_whole_and_says_why(sending: Sending):
    bad = [event(0), event(1, quantity=-1), event(2, week="nine"), event(3, product_id=None), event(4, qantity=1)]
    answer = sending.post([*bad, event(5, sales_value="1.005"), event(6, event_timestamp="2099-01-01T00:00:00Z"), 7])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("urn:headwater:problem:events-refused", 422)
    assert [(e["index"], e["field"], e["rule"]) for e in problem["errors"]] == [
        (1, "quantity", "quantity_minimum"),
        (2, "week", "type"),
        (3, "product_id", "product_id_required"),
        (4, "qantity", "unknown"),
        (5, "sales_value", "type"),
        (6, "event_timestamp", "event_timestamp_maximum"),
        (7, "", "object"),
    ]
    assert sending.stored() == []


def test_partial_accepts_the_good_events_and_names_the_others(sending: Sending):
    answer = sending.post([event(0), event(1, quantity=-1), event(2)], params={"partial": "true"})
    assert answer.status_code == 202
    assert [e["index"] for e in answer.json()["events"]] == [0, 2]
    assert [e["index"] for e in answer.json()["errors"]] == [1]
    assert sending.ids() == ["0-1", "2-1"]


def test_partial_with_no_good_event_is_refused(sending: Sending):
    assert sending.post([event(1, quantity=-1)], params={"partial": "true"}).status_code == 422
    assert sending.stored() == []


def test_ndjson_names_the_line_that_is_none(sending: Sending):
    lines = "\n".join([json.dumps(event(0)), "", "{no", json.dumps(event(2))]).encode()
    ndjson = {"Content-Type": "application/x-ndjson"}
    refused = sending.post(lines, headers=ndjson)
    assert (refused.status_code, [(e["index"], e["rule"]) for e in refused.json()["errors"]]) == (422, [(1, "json")])
    answer = sending.post(lines, headers=ndjson, params={"partial": "true"})
    assert [e["index"] for e in answer.json()["events"]] == [0, 2]
    assert sending.ids() == ["0-1", "2-1"]


AVRO = {"Content-Type": "application/avro"}


def test_a_framed_avro_value_is_accepted(sending: Sending):
    assert sending.post(sending.case.framed(sale(3)), headers=AVRO).status_code == 202
    assert {k: sending.stored()[0][k] for k in sale(3)} == sale(3)


def test_avro_is_judged_like_json(sending: Sending):
    answer = sending.post(sending.case.framed(sale(3, week=60)), headers=AVRO)
    assert [(e["index"], e["rule"]) for e in answer.json()["errors"]] == [(0, "week_maximum")]
    assert sending.stored() == []


def container(schema, *records, codec="null") -> bytes:
    buffer = io.BytesIO()
    fastavro.writer(buffer, schema, records, codec=codec)
    return buffer.getvalue()


def test_an_avro_container_file_is_a_batch(sending: Sending):
    answer = sending.post(container(sending.case.schema, *(sale(n) for n in range(20))), headers=AVRO)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 20), answer.text
    assert sending.ids() == sorted(f"{n}-1" for n in range(20))


def test_avro_that_is_not_of_the_subject_or_is_cut_off_is_refused(sending: Sending):
    case, good = sending.case, sending.case.framed(sale(3))
    foreign = schema_with(case.schema, {"name": "x", "type": {"type": "array", "items": "null"}, "default": []})
    refused = {
        case.framed(sale(3), schema_id=999_999): (422, "unknown-schema"),
        container(foreign, sale(1)): (422, "unknown-schema"),
        container(case.schema, sale(1), codec="deflate"): (415, "avro-codec"),
        container(case.schema, sale(1))[:-30]: (400, "malformed-body"),
        good[:-3]: (400, "malformed-body"),
        good + b"x": (400, "malformed-body"),
        b"\x01\x02": (400, "malformed-body"),
    }
    for body, expected in refused.items():
        answer = sending.post(body, headers=AVRO)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == expected
    assert sending.stored() == []


def test_a_body_that_is_too_long_or_of_no_known_kind_is_refused(sending: Sending):
    json_type = {"Content-Type": "application/json"}
    assert sending.post(b" " * (5 * 1024**2 + 1), headers=json_type).status_code == 413
    assert sending.post(b"[" + b"1," * 10_000 + b"1]", headers=json_type).json()["type"].endswith("too-many-events")
    assert sending.post(b"[]", headers=json_type).status_code == 400
    assert sending.post(b"[" * 100_000, headers=json_type).status_code == 400
    assert sending.post(b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert sending.post(b"{}", headers={**json_type, "Content-Encoding": "gzip"}).status_code == 415
    assert sending.stored() == []
