"""The event id is read out of a record without decoding the rest."""

import io

import fastavro
import pytest

from headwater.sources.avro_encoder import confluent_header
from headwater.sources.topics import event_id_of

SCHEMA = fastavro.parse_schema(
    {"type": "record", "name": "E", "fields": [{"name": "event_id", "type": "string"}, {"name": "n", "type": "long"}]}
)


def _record(event_id: str) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SCHEMA, {"event_id": event_id, "n": 5})
    return confluent_header(3) + out.getvalue()


@pytest.mark.parametrize("event_id", ["1-2", "é" * 20, "x" * 63, "x" * 64, "x" * 200, "x" * 8000])
def test_an_id_of_any_length_is_read(event_id):
    assert event_id_of(_record(event_id)) == event_id


@pytest.mark.parametrize(
    "value", [None, b"", b"\x00" * 5, b"\x01" + _record("a")[1:], _record("abcdef")[:9], b"\x00\x00\x00\x00\x01\xff"]
)
def test_what_is_no_event_has_no_id(value):
    assert event_id_of(value) is None
