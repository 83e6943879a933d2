"""A drop of a few weeks, compared with the package's file by DuckDB."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.sources import completejourney
from headwater.sources.promotions import _spans, drop

COLUMNS = "product_id, store_id, display_location, mailer_location, week"


def test_a_drop_holds_the_rows_of_its_weeks_in_whole_weeks(tmp_path):
    dropped = drop(files=2, weeks=(1, 2), folder=tmp_path)
    assert [(d.path.name, d.written) for d in dropped] == [
        ("promotions-w01-w01.parquet", True),
        ("promotions-w02-w02.parquet", True),
    ]
    source = completejourney.data_file("promotions")
    difference = duckdb.sql(f"""
        (SELECT {COLUMNS} FROM '{source}' WHERE week <= 2 EXCEPT ALL SELECT {COLUMNS} FROM '{tmp_path}/*.parquet')
        UNION ALL
        (SELECT {COLUMNS} FROM '{tmp_path}/*.parquet' EXCEPT ALL SELECT {COLUMNS} FROM '{source}' WHERE week <= 2)
    """).fetchall()
    assert difference == []
    assert pq.read_schema(dropped[0].path).field("week").type == pa.int32()


def test_a_second_drop_writes_nothing(tmp_path):
    first = drop(files=1, weeks=(1, 1), folder=tmp_path)
    at = first[0].path.stat().st_mtime_ns
    second = drop(files=1, weeks=(1, 1), folder=tmp_path)
    assert [(d.rows, d.written) for d in second] == [(first[0].rows, False)]
    assert first[0].path.stat().st_mtime_ns == at


def test_a_drop_of_more_weeks_adds_those_and_keeps_what_lies_there(tmp_path):
    drop(files=1, weeks=(2, 2), folder=tmp_path)
    dropped = drop(files=1, weeks=(1, 3), folder=tmp_path)
    assert [(d.first_week, d.last_week, d.written) for d in dropped] == [(1, 1, True), (2, 2, False), (3, 3, True)]


@pytest.mark.parametrize(
    ("weeks", "files", "spans"),
    [
        (range(1, 54), 4, [(1, 14), (15, 28), (29, 42), (43, 53)]),
        (range(1, 4), 53, [(1, 1), (2, 2), (3, 3)]),
        ([1, 2, 5, 6, 7], 2, [(1, 2), (5, 7)]),
        ([], 4, []),
    ],
)
def test_weeks_are_shared_out_in_adjacent_runs(weeks, files, spans):
    assert list(_spans(list(weeks), files)) == spans


def test_nothing_is_left_of_a_drop_that_failed(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", fail)
    with pytest.raises(OSError, match="no space"):
        drop(files=1, weeks=(1, 1), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
