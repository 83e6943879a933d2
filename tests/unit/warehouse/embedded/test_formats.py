"""Joining the documents that chDB streams."""

from __future__ import annotations

import pyarrow as pa
import pytest

from headwater.warehouse.embedded.formats import content_type, joiner


@pytest.mark.parametrize(
    ("name", "chunks", "expected"),
    [
        ("CSV", [b"1\n", b"2\n"], b"1\n2\n"),
        ("CSVWithNames", [b'"a"\n1\n', b'"a"\n2\n'], b'"a"\n1\n2\n'),
        ("CSVWithNames", [b'"a\nb ""c"""\n1\n', b'"a\nb ""c"""\n2\n'], b'"a\nb ""c"""\n1\n2\n'),
        ("TSVWithNamesAndTypes", [b"a\nInt8\n1\n", b"a\nInt8\n2\n"], b"a\nInt8\n1\n2\n"),
        ("RowBinaryWithNames", [b"\x01\x01a\x07", b"\x01\x01a\x08"], b"\x01\x01a\x07\x08"),
        (
            "RowBinaryWithNamesAndTypes",
            [b"\x01\x01a\x04Int8\x07", b"\x01\x01a\x04Int8\x08"],
            b"\x01\x01a\x04Int8\x07\x08",
        ),
    ],
)
def test_a_repeated_header_is_dropped(name: str, chunks: list[bytes], expected: bytes) -> None:
    found = joiner(name)
    assert found is not None
    assert b"".join(found.join(chunk) for chunk in chunks) + found.finish() == expected


def test_arrow_streams_become_one() -> None:
    schema = pa.schema([("a", pa.int64()), ("s", pa.dictionary(pa.int32(), pa.string()))])
    chunks = []
    for start in (0, 10):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            words = pa.array([f"w{start}"] * 10).dictionary_encode()
            writer.write_batch(pa.record_batch([pa.array(range(start, start + 10)), words], schema=schema))
        chunks.append(sink.getvalue().to_pybytes())
    found = joiner("ArrowStream")
    assert found is not None
    table = pa.ipc.open_stream(b"".join(found.join(chunk) for chunk in chunks) + found.finish()).read_all()
    assert table["a"].to_pylist() == list(range(20))
    assert table["s"].to_pylist() == ["w0"] * 10 + ["w10"] * 10


@pytest.mark.parametrize("name", ["JSON", "Parquet", "PrettyCompact", "XML", "Vertical", "Arrow"])
def test_formats_with_a_frame_are_not_streamed(name: str) -> None:
    assert joiner(name) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("JSON", "application/json; charset=UTF-8"),
        ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
        ("TSV", "text/tab-separated-values; charset=UTF-8"),
        ("CSVWithNames", "text/csv; charset=UTF-8; header=present"),
        ("Native", "application/octet-stream"),
        ("Pretty", "text/plain; charset=UTF-8"),
    ],
)
def test_content_types(name: str, expected: str) -> None:
    assert content_type(name) == expected
