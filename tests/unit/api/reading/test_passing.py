"""Rows that are counted while they go by, pages that are cut."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pyarrow as pa
import pytest

from headwater.api.reading.answers import Asked, _packed, _page, _unpacked
from headwater.api.reading.counting import Counted


def pieces(data: bytes, size: int):
    return iter([data[i : i + size] for i in range(0, len(data), size)])


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_rows_of_csv_are_counted_with_line_breaks_in_quotes(size):
    data = b'"a","b"\n1,"two\nlines and ""quotes"""\n2,"x"\n3,""\n'
    counted = Counted(pieces(data, size))
    assert b"".join(counted.csv()) == data
    assert counted.rows == 3


@pytest.mark.parametrize("size", [7, 100_000])
def test_rows_of_arrow_are_counted_and_the_bytes_are_the_same(size):
    sink = io.BytesIO()
    table = pa.table({"a": range(1000), "b": [str(n) for n in range(1000)]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=300):
            writer.write_batch(batch)
    counted = Counted(pieces(sink.getvalue(), size))
    assert b"".join(counted.arrow()) == sink.getvalue()
    assert counted.rows == 1000


def test_an_arrow_stream_that_breaks_off_is_no_short_answer():
    sink = io.BytesIO()
    table = pa.table({"a": range(1000)})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises((pa.ArrowInvalid, OSError)):
        list(Counted(pieces(sink.getvalue()[:-900], 64)).arrow())


LINES = b'["a","k"]\n["String","Int64"]\n["x",1]\n["y",2]\n["z",2]\n["w",3]\n'


def test_a_page_is_cut_and_says_where_it_ends():
    asked = Asked("", {}, (), "", 3, shown=1, keys=(1,))
    page = _page(LINES, asked)
    assert json.loads(page.rows) == [["x"], ["y"], ["z"]]
    assert (page.count, page.truncated, page.ends, page.alike) == (3, True, ["2"], 2)
    assert page.columns == [{"name": "a", "type": "String"}]
    assert _unpacked(_packed(page)) == replace(page, kept=True)


def test_the_last_page_has_no_end():
    page = _page(LINES, Asked("", {}, (), "", 4))
    assert json.loads(page.rows)[3] == ["w", 3]
    assert (page.truncated, page.ends) == (False, [])
    assert _unpacked(b"what another version wrote") is None
