"""What the sink reads of Spark's offset log."""

from pathlib import Path

from headwater.streaming.sink import batch_ends


def test_reads_the_end_of_a_batch_from_the_offset_log(tmp_path: Path):
    (tmp_path / "offsets").mkdir()
    (tmp_path / "offsets" / "7").write_text('v1\n{"batchWatermarkMs":0}\n{"sales":{"0":12,"10":3}}')
    assert batch_ends(tmp_path, 7, "sales") == {0: 12, 10: 3}
