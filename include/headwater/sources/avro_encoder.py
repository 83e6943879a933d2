"""Arrow columns to Confluent-framed Avro, a column at a time with NumPy.

fastavro encodes a sale in 6–8 µs, which is the whole budget of 150,000 records a second on one core. Here each field of
a batch becomes a matrix of bytes (a row per record) with the length used in each row; the matrices are laid side by
side, the unused bytes are masked out, and what is left is the records, one behind the other. The tests decode it with
fastavro and compare the bytes with fastavro's own.

Covers what flat events need: null, boolean, int, long, float, double, string, bytes, decimals, dates, timestamps
and `["null", T]`. Anything else raises; it is never written wrongly.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headwater.errors import TerminalError

MAGIC_BYTE = 0
MAX_TEXT_BYTES = 8 * 1024 * 1024  # of a batch's matrices; above it is split, so that one long string widens few rows
MAX_DECIMAL_PRECISION = 18  # fits 64 bits

Bytes = npt.NDArray[np.uint8]
Lengths = npt.NDArray[np.int64]


class EncodingError(TerminalError):
    """The values cannot be written with this Avro schema."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    encode: Callable[[pa.Array], tuple[Bytes, Lengths]]
    null_index: int | None  # place of null in the union, None: the field is required


def confluent_header(schema_id: int) -> bytes:
    """The five bytes in front of every value: magic byte 0 and the id, big-endian."""
    return struct.pack(">bI", MAGIC_BYTE, schema_id)


class AvroEncoder:
    """Encodes batches of one Avro record schema (as parsed JSON) under one registry id."""

    def __init__(self, schema: Mapping[str, Any], schema_id: int) -> None:
        if schema.get("type") != "record":
            raise EncodingError(f"a record schema is needed, not '{schema.get('type')}'")
        self._fields = [_field(f["name"], f["type"]) for f in schema["fields"]]
        self._header = np.frombuffer(confluent_header(schema_id), dtype=np.uint8)

    def encode(self, batch: pa.RecordBatch) -> list[bytes]:
        """The records of a batch, one framed value per row. Columns are taken by name.

        Further columns are ignored; an optional field without a column is written as null. Raises `EncodingError` for
        a required field without a column or with a null in it.
        """
        if batch.num_rows == 0:
            return []
        if batch.num_rows > 1 and batch.num_rows * sum(map(_text_bytes, batch.columns)) > MAX_TEXT_BYTES:
            half = batch.num_rows // 2
            return self.encode(batch.slice(0, half)) + self.encode(batch.slice(half))
        parts = [self._encode_field(field, batch) for field in self._fields]
        width = len(self._header) + sum(matrix.shape[1] for matrix, _ in parts)
        return self._join(parts, batch.num_rows, width)

    def _join(self, parts: list[tuple[Bytes, Lengths]], rows: int, width: int) -> list[bytes]:
        table = np.empty((rows, width), dtype=np.uint8)
        used = np.empty((rows, width), dtype=np.bool_)
        at = len(self._header)
        table[:, :at] = self._header
        used[:, :at] = True
        ends = np.full(rows, at, dtype=np.int64)
        for matrix, lengths in parts:
            to = at + matrix.shape[1]
            table[:, at:to] = matrix
            np.less(np.arange(matrix.shape[1]), lengths[:, None], out=used[:, at:to])
            ends += lengths
            at = to
        data = table[used].tobytes()
        stops = np.cumsum(ends).tolist()
        starts = [0, *stops[:-1]]
        return [data[start:stop] for start, stop in zip(starts, stops, strict=True)]

    @staticmethod
    def _encode_field(field: _Field, batch: pa.RecordBatch) -> tuple[Bytes, Lengths]:
        if field.name not in batch.schema.names:
            # A newer version than the source knows: its added field is optional, or it would not be compatible.
            if field.null_index is None:
                raise EncodingError(f"the batch has no column '{field.name}', its Avro field is required")
            index = np.full((batch.num_rows, 1), field.null_index * 2, dtype=np.uint8)
            return index, np.ones(batch.num_rows, dtype=np.int64)
        column = batch.column(field.name)
        if field.null_index is None:
            if column.null_count:
                raise EncodingError(f"column '{field.name}' holds nulls, its Avro field does not take them")
            return field.encode(column)
        matrix, lengths = field.encode(_without_nulls(column))
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        index = np.where(valid, 1 - field.null_index, field.null_index).astype(np.uint8)[:, None]
        return np.hstack([index * 2, matrix]), np.where(valid, lengths, 0) + 1


def _without_nulls(column: pa.Array) -> pa.Array:
    """The column with any value of its type in the place of nulls (their bytes are masked out)."""
    if not column.null_count:
        return column
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        return pc.fill_null(column, "")
    zero = False if pa.types.is_boolean(column.type) else 0
    return pc.fill_null(column, pa.scalar(zero, column.type))


def _text_bytes(column: pa.Array) -> int:
    """Bytes of a row in the matrix of a string or bytes column: the longest value; 0 for other types."""
    if not (pa.types.is_string(column.type) or pa.types.is_binary(column.type)):
        return 0
    return pc.max(pc.binary_length(column)).as_py() or 0


def _zigzag(values: npt.NDArray[np.int64]) -> tuple[Bytes, Lengths]:
    """Avro's variable-length int and long."""
    unsigned = ((values << 1) ^ (values >> 63)).view(np.uint64)
    width = max(1, -(-int(unsigned.max()).bit_length() // 7))
    matrix = np.empty((len(values), width), dtype=np.uint8)
    lengths = np.ones(len(values), dtype=np.int64)
    for i in range(width):
        rest = unsigned >> np.uint64(7)
        more = rest != 0
        matrix[:, i] = (unsigned & np.uint64(0x7F)).astype(np.uint8) | (more.astype(np.uint8) << 7)
        lengths += more
        unsigned = rest
    return matrix, lengths


def _encode_long(column: pa.Array) -> tuple[Bytes, Lengths]:
    return _zigzag(column.cast(pa.int64()).to_numpy(zero_copy_only=False))


def _encode_timestamp(column: pa.Array) -> tuple[Bytes, Lengths]:
    return _zigzag(column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False))


def _encode_date(column: pa.Array) -> tuple[Bytes, Lengths]:
    return _zigzag(column.cast(pa.int32()).cast(pa.int64()).to_numpy(zero_copy_only=False))


def _encode_boolean(column: pa.Array) -> tuple[Bytes, Lengths]:
    matrix = column.to_numpy(zero_copy_only=False).astype(np.uint8)[:, None]
    return matrix, np.ones(len(column), dtype=np.int64)


def _encode_float(column: pa.Array) -> tuple[Bytes, Lengths]:
    return _fixed(column.cast(pa.float32()).to_numpy(zero_copy_only=False).astype("<f4"))


def _encode_double(column: pa.Array) -> tuple[Bytes, Lengths]:
    return _fixed(column.cast(pa.float64()).to_numpy(zero_copy_only=False).astype("<f8"))


def _fixed(values: npt.NDArray[Any]) -> tuple[Bytes, Lengths]:
    matrix = values.view(np.uint8).reshape(len(values), values.itemsize)
    return matrix, np.full(len(values), values.itemsize, dtype=np.int64)


def _encode_bytes(column: pa.Array) -> tuple[Bytes, Lengths]:
    """Length, then the bytes: gathered from Arrow's own data buffer."""
    column = column.cast(pa.large_binary())
    _, offset_buffer, data_buffer = column.buffers()
    rows = len(column)
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[column.offset : column.offset + rows + 1]
    lengths = np.diff(offsets)
    width = int(lengths.max())
    prefix, prefix_lengths = _zigzag(lengths)
    matrix = np.zeros((rows, prefix.shape[1] + width), dtype=np.uint8)
    matrix[:, : prefix.shape[1]] = prefix
    if not width:
        return matrix, prefix_lengths
    data = np.frombuffer(data_buffer, dtype=np.uint8)
    columns = np.arange(width)
    # Prefixes of one batch may differ in length (strings around 64 bytes): the text starts where the prefix ends.
    source = np.minimum(offsets[:-1, None] + columns, len(data) - 1)
    for prefix_length in np.unique(prefix_lengths).tolist():
        rows_of = np.flatnonzero(prefix_lengths == prefix_length)
        at = rows_of if len(rows_of) < rows else slice(None)
        matrix[at, prefix_length : prefix_length + width] = data[source[at]]
    return matrix, prefix_lengths + lengths


def _decimal_encoder(name: str, precision: int, scale: int) -> Callable[[pa.Array], tuple[Bytes, Lengths]]:
    """Unscaled value as two's complement, big-endian, in as few bytes as hold it with its sign."""
    if precision > MAX_DECIMAL_PRECISION:
        raise EncodingError(f"field '{name}': decimal({precision},{scale}) is beyond {MAX_DECIMAL_PRECISION} digits")

    def encode(column: pa.Array) -> tuple[Bytes, Lengths]:
        unscaled = unscaled_decimal(column, precision, scale)
        magnitude = np.where(unscaled < 0, ~unscaled, unscaled)
        needed = np.ones(len(unscaled), dtype=np.int64)
        for bits in range(7, 63, 8):
            needed += (magnitude >> bits) != 0
        width = int(needed.max())
        big_endian = unscaled.astype(">i8").view(np.uint8).reshape(len(unscaled), 8)
        # Left-align: a value of k bytes is the last k of the eight.
        source = np.minimum((8 - needed)[:, None] + np.arange(width), 7)
        digits = np.take_along_axis(big_endian, source, axis=1)
        return np.hstack([(needed * 2).astype(np.uint8)[:, None], digits]), needed + 1

    return encode


def unscaled_decimal(column: pa.Array, precision: int, scale: int) -> npt.NDArray[np.int64]:
    """Decimal(p ≤ 18, scale) values as 64-bit integers, e.g. 12.34 as 1234. Raises where they do not fit the type."""
    exact = column.cast(pa.decimal128(precision, scale))
    _, data = exact.buffers()
    # decimal128 is two 64-bit words, low word first; up to 18 digits the low word is the whole value.
    words = np.frombuffer(data, dtype=np.int64)
    return words[2 * exact.offset : 2 * (exact.offset + len(exact)) : 2]


def _field(name: str, avro_type: Any) -> _Field:
    """The encoder of one field, from its Avro type."""
    if isinstance(avro_type, list):
        others = [t for t in avro_type if t != "null"]
        if len(avro_type) != 2 or len(others) != 1:
            raise EncodingError(f"field '{name}': of unions only null and one other type is known, not {avro_type}")
        return _Field(name, _field(name, others[0]).encode, avro_type.index("null"))
    if isinstance(avro_type, Mapping) and avro_type.get("logicalType") == "decimal" and avro_type["type"] == "bytes":
        return _Field(name, _decimal_encoder(name, avro_type["precision"], avro_type.get("scale", 0)), None)
    key = (avro_type, None) if isinstance(avro_type, str) else (avro_type["type"], avro_type.get("logicalType"))
    if key not in _ENCODERS:
        raise EncodingError(f"field '{name}': Avro type {avro_type} is not known to this encoder")
    return _Field(name, _ENCODERS[key], None)


_ENCODERS: dict[tuple[str, str | None], Callable[[pa.Array], tuple[Bytes, Lengths]]] = {
    ("boolean", None): _encode_boolean,
    ("int", None): _encode_long,
    ("long", None): _encode_long,
    ("float", None): _encode_float,
    ("double", None): _encode_double,
    ("string", None): _encode_bytes,
    ("string", "uuid"): _encode_bytes,
    ("bytes", None): _encode_bytes,
    ("int", "date"): _encode_date,
    ("long", "timestamp-micros"): _encode_timestamp,
}
