"""Output formats: content types, and how chDB's chunks become one stream.

chDB streams a query as chunks that are each a whole document of the format. Row formats without a frame simply follow
one another, formats with names lose the repeated header, Arrow streams are joined; any other format (JSON, Parquet,
Pretty …) is asked for whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "XML": "application/xml; charset=UTF-8",
    "Markdown": "text/markdown; charset=UTF-8",
    "Arrow": "application/octet-stream",
    "Native": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "ORC": "application/octet-stream",
    "Avro": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "MsgPack": "application/octet-stream",
    "Npy": "application/octet-stream",
}
"""By the longest beginning of the format's name; else text/plain."""

_CONCATENABLE = """
Native RowBinary TabSeparated TSV TabSeparatedRaw TSVRaw Raw CSV JSONEachRow JSONLines NDJSON
JSONCompactEachRow JSONStringsEachRow JSONCompactStringsEachRow TSKV LineAsString RawBLOB
"""
CONCATENABLE = frozenset(_CONCATENABLE.split())
LINE_HEADERS = {
    "TabSeparatedWithNames": 1,
    "TSVWithNames": 1,
    "TabSeparatedRawWithNames": 1,
    "TSVRawWithNames": 1,
    "TabSeparatedWithNamesAndTypes": 2,
    "TSVWithNamesAndTypes": 2,
    "CSVWithNames": 1,
    "CSVWithNamesAndTypes": 2,
    "JSONCompactEachRowWithNames": 1,
    "JSONCompactEachRowWithNamesAndTypes": 2,
    "JSONCompactStringsEachRowWithNames": 1,
    "JSONCompactStringsEachRowWithNamesAndTypes": 2,
}
"""Formats with a header, and how many lines it has."""

BINARY_HEADERS = {"RowBinaryWithNames": 1, "RowBinaryWithNamesAndTypes": 2}


def content_type(name: str) -> str:
    """The Content-Type ClickHouse answers a format with."""
    if name.startswith("JSON") and "EachRow" in name:
        return "application/x-ndjson; charset=UTF-8"
    if name.startswith("CSVWithNames"):
        return "text/csv; charset=UTF-8; header=present"
    if name.startswith("TSV"):
        return CONTENT_TYPES["TabSeparated"]
    best = max((key for key in CONTENT_TYPES if name.startswith(key)), key=len, default="")
    return CONTENT_TYPES.get(best, "text/plain; charset=UTF-8")


class Joiner(Protocol):
    """Joins the documents of a stream's chunks into one document."""

    def join(self, chunk: bytes) -> bytes:
        """What this chunk adds to the answer."""

    def finish(self) -> bytes:
        """What stands at the end of the answer."""


class _Concatenation:
    """Chunks follow one another; `header_end` finds where the header ends that later chunks repeat."""

    def __init__(self, header_end: Callable[[bytes], int] | None = None) -> None:
        self._header_end = header_end
        self._first = True

    def join(self, chunk: bytes) -> bytes:
        if self._first or self._header_end is None:
            self._first = False
            return chunk
        return chunk[self._header_end(chunk) :]

    def finish(self) -> bytes:
        return b""


class _ArrowStreams:
    """Arrow IPC streams into one: its schema once, then every batch."""

    def __init__(self) -> None:
        # A pyarrow sink cannot be emptied while it is written, so this one is Python's.
        self._sink = _Drain()
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def join(self, chunk: bytes) -> bytes:
        # Imported here: pyarrow and numpy are half of the endpoint's start.
        import pyarrow as pa

        reader = pa.ipc.open_stream(chunk)
        if self._writer is None:
            options = pa.ipc.IpcWriteOptions(compression="lz4", emit_dictionary_deltas=False)
            self._writer = pa.ipc.new_stream(self._sink, reader.schema, options=options)
        for batch in reader:
            self._writer.write_batch(batch)
        return self._sink.take()

    def finish(self) -> bytes:
        if self._writer is not None:
            self._writer.close()
        return self._sink.take()


class _Drain:
    """A file-like sink that hands out what was written since the last time."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered elsewhere."""

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def joiner(name: str) -> Joiner | None:
    """How the chunks of this format are joined, or None where the answer must be asked for whole."""
    if name in CONCATENABLE:
        return _Concatenation()
    if name in LINE_HEADERS:
        lines = LINE_HEADERS[name]
        quotes = name.startswith("CSV")
        return _Concatenation(lambda chunk: _end_of_lines(chunk, lines, quotes))
    if name in BINARY_HEADERS:
        strings = BINARY_HEADERS[name]
        return _Concatenation(lambda chunk: _end_of_binary_header(chunk, strings))
    if name == "ArrowStream":
        return _ArrowStreams()
    return None


def _end_of_lines(chunk: bytes, lines: int, quotes: bool) -> int:
    """Behind the first `lines` line breaks; in CSV a name may hold line breaks between quotes."""
    position = 0
    for _ in range(lines):
        end = chunk.index(b"\n", position)
        while quotes and chunk.count(b'"', position, end) % 2:
            end = chunk.index(b"\n", end + 1)
        position = end + 1
    return position


def _end_of_binary_header(chunk: bytes, strings: int) -> int:
    """Behind the number of columns, their names, and (with 2) their types, each with its length before it."""
    columns, position = _varint(chunk, 0)
    for _ in range(columns * strings):
        length, position = _varint(chunk, position)
        position += length
    return position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
