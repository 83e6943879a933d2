"""The encoder against fastavro, which knows nothing of it: the same bytes, and the same values read back."""

import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.sources.avro_encoder import AvroEncoder, EncodingError, confluent_header

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}
WIDE_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}
TIMESTAMP = {"type": "long", "logicalType": "timestamp-micros"}
DATE = {"type": "int", "logicalType": "date"}

LONGER_IN_FASTAVRO = {-(2 ** (8 * size - 1)) for size in range(1, 9)}
"""fastavro gives the lowest number of so many bytes one byte more than it needs. Both read the same."""


def _money(largest: int, scale: int) -> st.SearchStrategy[Decimal]:
    unscaled = st.integers(-largest, largest).filter(lambda number: number not in LONGER_IN_FASTAVRO)
    return unscaled.map(lambda number: Decimal(number).scaleb(-scale))


FIELDS = {
    "text": ("string", pa.string(), st.text(max_size=300)),
    "raw": ("bytes", pa.binary(), st.binary(max_size=40)),
    "whole": ("long", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "small": ("int", pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "yes": ("boolean", pa.bool_(), st.booleans()),
    "single": ("float", pa.float32(), st.floats(width=32, allow_nan=False)),
    "real": ("double", pa.float64(), st.floats(allow_nan=False)),
    "money": (DECIMAL, pa.decimal128(10, 2), _money(10**10 - 1, 2)),
    "wide": (WIDE_DECIMAL, pa.decimal128(18, 4), _money(10**18 - 1, 4)),
    "at": (TIMESTAMP, pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    "day": (DATE, pa.date32(), st.dates()),
}


def _schema(optional: bool) -> dict:
    fields = [{"name": name, "type": ["null", avro] if optional else avro} for name, (avro, _, _) in FIELDS.items()]
    return {"type": "record", "name": "Event", "fields": fields}


def _batch(rows: list[dict]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, pa.schema([(name, kind) for name, (_, kind, _) in FIELDS.items()]))


def _by_fastavro(schema: dict, row: dict) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), row)
    return out.getvalue()


def _read(schema: dict, value: bytes) -> dict:
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), fastavro.parse_schema(schema))


ROW = st.fixed_dictionaries({name: strategy for name, (_, _, strategy) in FIELDS.items()})
OPTIONAL_ROW = st.fixed_dictionaries({name: st.none() | strategy for name, (_, _, strategy) in FIELDS.items()})


@settings(deadline=None, max_examples=60)
@given(st.lists(ROW, min_size=1, max_size=8))
def test_required_fields_are_written_as_fastavro_writes_them(rows):
    schema = _schema(optional=False)
    values = AvroEncoder(schema, 7).encode(_batch(rows))
    assert values == [b"\x00\x00\x00\x00\x07" + _by_fastavro(schema, row) for row in rows]
    assert [_read(schema, value) for value in values] == rows


@settings(deadline=None, max_examples=60)
@given(st.lists(OPTIONAL_ROW, min_size=1, max_size=8))
def test_optional_fields_are_written_as_fastavro_writes_them(rows):
    schema = _schema(optional=True)
    values = AvroEncoder(schema, 7).encode(_batch(rows))
    assert values == [b"\x00\x00\x00\x00\x07" + _by_fastavro(schema, row) for row in rows]


@pytest.mark.parametrize("unscaled", sorted(LONGER_IN_FASTAVRO, reverse=True)[:4])
def test_the_lowest_decimal_of_a_size_is_read_back(unscaled):
    amount = Decimal(unscaled).scaleb(-2)
    schema = {"type": "record", "name": "Event", "fields": [{"name": "money", "type": DECIMAL}]}
    batch = pa.RecordBatch.from_pylist([{"money": amount}], pa.schema([("money", pa.decimal128(10, 2))]))
    [value] = AvroEncoder(schema, 7).encode(batch)
    assert _read(schema, value) == {"money": amount}


def test_a_slice_of_a_batch_gives_its_own_rows():
    first = {
        "text": "a", "raw": b"", "whole": 1, "small": 1, "yes": True, "single": 0.5, "real": 0.5,
        "money": Decimal("1.00"), "wide": Decimal("-1.0000"), "at": datetime(2017, 1, 1, tzinfo=UTC),
        "day": date(2017, 1, 1),
    }  # fmt: skip
    second = first | {
        "text": "b" * 70,
        "whole": -5,
        "yes": False,
        "money": Decimal("-0.01"),
        "at": first["at"] + timedelta(days=1),
    }
    encoder = AvroEncoder(_schema(optional=False), 1)
    assert encoder.encode(_batch([first, second]).slice(1)) == encoder.encode(_batch([second]))


def test_a_batch_that_one_long_string_widens_is_split():
    schema = {"type": "record", "name": "Event", "fields": [{"name": "text", "type": "string"}]}
    rows = [{"text": "x" * 3_000_000}] + [{"text": str(i)} for i in range(100)]
    values = AvroEncoder(schema, 1).encode(pa.RecordBatch.from_pylist(rows))
    assert [_read(schema, value) for value in values] == rows


def test_an_optional_field_the_source_does_not_know_is_null():
    fields = [{"name": "text", "type": "string"}, {"name": "added", "type": ["null", "long"], "default": None}]
    schema = {"type": "record", "name": "Event", "fields": fields}
    (value,) = AvroEncoder(schema, 1).encode(pa.RecordBatch.from_pylist([{"text": "a"}]))
    assert _read(schema, value) == {"text": "a", "added": None}


def test_an_empty_batch_has_no_records():
    assert AvroEncoder(_schema(optional=False), 1).encode(_batch([])) == []


@pytest.mark.parametrize(
    ("field", "column", "reason"),
    [
        ({"name": "n", "type": "long"}, pa.array([None], pa.int64()), "holds nulls"),
        ({"name": "other", "type": "long"}, pa.array([1]), "no column 'other'"),
    ],
)
def test_a_value_the_schema_does_not_take_is_refused(field, column, reason):
    encoder = AvroEncoder({"type": "record", "name": "Event", "fields": [field]}, 1)
    with pytest.raises(EncodingError, match=reason):
        encoder.encode(pa.RecordBatch.from_arrays([column], ["n"]))


@pytest.mark.parametrize(
    "avro_type", [{"type": "map", "values": "long"}, ["null", "long", "string"], {**DECIMAL, "precision": 30}]
)
def test_a_type_that_is_not_known_is_refused_when_the_encoder_is_made(avro_type):
    with pytest.raises(EncodingError, match="field 'n'"):
        AvroEncoder({"type": "record", "name": "Event", "fields": [{"name": "n", "type": avro_type}]}, 1)


def test_the_header_is_a_zero_and_the_id():
    assert confluent_header(258) == b"\x00\x00\x00\x01\x02"
