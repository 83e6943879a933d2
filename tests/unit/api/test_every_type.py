"""An event with every type a contract has, from JSON and from Avro, judged and written; read again with fastavro."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import fastavro
import pytest

from headwater.api.bodies import read_events
from headwater.api.judging import Judge
from headwater.api.streams import encoder
from headwater.contracts.avro import avro_schema
from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Dataset

CONTRACTS = Path(__file__).parents[1] / "contracts" / "golden" / "contracts"
SENT = {
    "event_id": "e1",
    "event_timestamp": "2017-03-01T10:00:00.000001+01:00",
    "id": 7,
    "text": "é",
    "letter": "A",
    "flag": True,
    "small": 2,
    "rough": 1.5,
    "fine": 2.5,
    "money": "12.10",
    "day": "2017-03-01",
    "moment": "2017-03-01T10:00:00Z",
    "token": "5c1b6e8e-3f0c-4a55-9d0c-0f4d2b7a1c11",
    "blob": "AAE=",
    "numbers": [1, None, -3],
    "attributes": {"a": "b", "c": None},
}
WRITTEN = SENT | {
    "event_type": "sampled",
    "source_system": "sampler",
    "schema_version": 4,
    "event_timestamp": datetime(2017, 3, 1, 9, 0, 0, 1, tzinfo=UTC),
    "money": Decimal("12.10"),
    "day": date(2017, 3, 1),
    "moment": datetime(2017, 3, 1, 10, tzinfo=UTC),
    "token": UUID("5c1b6e8e-3f0c-4a55-9d0c-0f4d2b7a1c11"),
    "blob": b"\x00\x01",
}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_contracts(CONTRACTS).get("every_type")


@pytest.fixture(scope="module")
def judge(dataset: Dataset) -> Judge:
    return Judge(dataset)


def written(judge: Judge, dataset: Dataset, body: bytes, content_type: str) -> dict:
    """What a reader of the topic gets for this body."""
    schema = fastavro.parse_schema(avro_schema(dataset))
    judged = judge.judge(read_events(body, content_type, {9: avro_schema(dataset)}, 10).events, 4)
    assert judged.faults == []
    (value,) = encoder(avro_schema(dataset), 9)(judged.rows)
    assert value[:5] == b"\0\0\0\0\x09"
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), schema)


def test_every_type_comes_through_json(judge: Judge, dataset: Dataset):
    assert written(judge, dataset, json.dumps(SENT).encode(), "application/json") == WRITTEN


def test_every_type_comes_through_avro(judge: Judge, dataset: Dataset):
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, avro_schema(dataset), WRITTEN | {"schema_version": 1})
    framed = b"\0\0\0\0\x09" + buffer.getvalue()
    assert written(judge, dataset, framed, "application/avro") == WRITTEN


def test_what_is_optional_may_be_missing(judge: Judge, dataset: Dataset):
    few = {name: SENT[name] for name in ("event_id", "event_timestamp", "id", "money", "small")}
    found = written(judge, dataset, json.dumps(few).encode(), "application/json")
    assert {name for name, value in found.items() if value is not None} == {
        *few,
        "event_type",
        "source_system",
        "schema_version",
    }


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("letter", "C", "letter_enum"),
        ("text", "x" * 21, "text_max_length"),
        ("text", "it's", "text_pattern"),
        ("small", 3, "small_multiple_of"),
        ("small", 100, "small_exclusive_maximum"),
        ("small", 4, "small_is_finer"),
        ("day", "1999-12-31", "day_minimum"),
        ("numbers", [1, "2"], "type"),
        ("attributes", {"a": 1}, "type"),
    ],
)
def test_every_kind_of_rule_is_judged(judge: Judge, field, value, rule):
    assert rule in [fault.rule for fault in judge.judge([(0, {**SENT, field: value})], 1).faults]
