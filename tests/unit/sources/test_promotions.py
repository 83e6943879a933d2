"""A drop of a few weeks, compared with the package's file by DuckDB."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.errors import TerminalError
from headwater.sources import completejourney
from headwater.sources.promotions import drop

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


def test_a_week_is_not_dropped_in_two_files(tmp_path):
    drop(files=1, weeks=(1, 2), folder=tmp_path)
    with pytest.raises(TerminalError, match="weeks 1 to 2 lie there already"):
        drop(files=1, weeks=(2, 2), folder=tmp_path)


def test_nothing_is_left_of_a_drop_that_failed(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", fail)
    with pytest.raises(OSError, match="no space"):
        drop(files=1, weeks=(1, 1), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
