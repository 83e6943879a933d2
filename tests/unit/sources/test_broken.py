"""The broken records are broken in the way they say, and only in that way."""

import io

import fastavro
import pytest

from headwater.contracts.avro import avro_schema
from headwater.sources.broken import Outcome, broken_records
from headwater.sources.events import event_source
from headwater.sources.subjects import RegisteredSchema

ID = 11


@pytest.fixture(scope="module")
def schema():
    return avro_schema(event_source("transactions").dataset)


@pytest.fixture(scope="module")
def records(schema):
    return {record.name: record for record in broken_records(RegisteredSchema(ID, 1, schema))}


def _decode(schema, value):
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), fastavro.parse_schema(schema))


def test_they_are_the_same_bytes_every_time(schema, records):
    assert broken_records(RegisteredSchema(ID, 1, schema)) == list(records.values())


def test_no_two_share_key_and_value(records):
    assert len({(record.key, record.value) for record in records.values()}) == len(records)


@pytest.mark.parametrize("name", ["truncated", "garbage"])
def test_an_unreadable_body_stands_behind_a_good_header(schema, records, name):
    assert records[name].value[:5] == b"\x00\x00\x00\x00" + bytes([ID])
    with pytest.raises((EOFError, ValueError, UnicodeDecodeError, IndexError, OverflowError)):
        _decode(schema, records[name].value)


def test_the_garbage_is_a_mebibyte(records):
    assert len(records["garbage"].value) == 1024 * 1024


def test_wrong_header_stands_before_a_good_body(schema, records):
    assert records["wrong-magic-byte"].value[0] == 1
    assert int.from_bytes(records["unknown-schema-id"].value[1:5]) == 999_999_999
    for name in ("wrong-magic-byte", "unknown-schema-id"):
        assert _decode(schema, records[name].value)["event_id"] == "31198570044-1095275"


def test_what_silver_must_refuse_can_be_read(schema, records):
    refused = {name: _decode(schema, r.value) for name, r in records.items() if r.outcome is Outcome.REFUSED}
    assert refused["negative-quantity"]["quantity"] == -1
    assert refused["future-date"]["event_timestamp"].year == 2099
    assert len({row["event_id"] for row in refused.values()} | {"31198570044-1095275"}) == 3


def test_the_record_without_key_repeats_the_first_sale(schema, records):
    assert records["null-key"].key is None
    assert _decode(schema, records["null-key"].value)["event_id"] == "31198570044-1095275"
