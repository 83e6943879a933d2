"""Fault 10: truncated Avro, wrong magic byte, empty value, 1 MiB value.

In quarantine with place, reason, bytes and headers; the stream goes on.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from tests.conftest import environment
from tests.streams import StreamCase, own_project, sale, stream_case

from headwater.lake.catalog import get_catalog
from headwater.settings import Settings
from headwater.streaming.quarantine import quarantine_of, record_at

pytestmark = [pytest.mark.integration, pytest.mark.fault]

HEADERS = [("trace", b"1"), ("odd", b"\xff"), ("trace", None), ("trace", b"3")]

Break = Callable[[StreamCase, bytes], bytes | None]
BROKEN: dict[str, tuple[str, Break]] = {
    "null": ("empty_value", lambda case, good: None),
    "no bytes": ("empty_value", lambda case, good: b""),
    "wrong magic byte": ("bad_magic_byte", lambda case, good: b"\x01" + good[1:]),
    "header cut": ("too_short", lambda case, good: good[:3]),
    "header only": ("undecodable_avro", lambda case, good: good[:5]),
    "truncated": ("undecodable_avro", lambda case, good: good[:-3]),
    "length of 2 GiB": ("undecodable_avro", lambda case, good: good[:5] + b"\xfe\xff\xff\xff\x0f" + good[10:]),
    "1 MiB of noise": ("undecodable_avro", lambda case, good: good[:5] + b"\xff" * 1024 * 1024),
    "1 MiB without framing": ("bad_magic_byte", lambda case, good: b"x" * 1024 * 1024),
    "id nobody registered": ("unknown_schema_id", lambda case, good: b"\0\x7f\xff\xff\xf0" + good[5:]),
    "id beyond 31 bits": ("unknown_schema_id", lambda case, good: b"\0\xff\xff\xff\xff" + good[5:]),
}


def test_every_broken_record_is_kept_with_its_reason_and_the_stream_goes_on(stack: Settings, spark: SparkSession):
    case = stream_case(stack)
    good = case.framed(sale(1))
    values = [make(case, good) for _, make in BROKEN.values()]
    case.produce(good, *values, good)

    case.read_once(spark)

    rows = case.bronze("_kafka_offset", "_error", "_raw", "_kafka_key", "event_id", "_schema_id")
    assert [row["_kafka_offset"] for row in rows] == list(range(len(BROKEN) + 2))
    found = dict(zip(BROKEN, ((row["_error"], row["_raw"]) for row in rows[1:-1]), strict=True))
    assert found == {name: (reason, value) for (name, (reason, _)), value in zip(BROKEN.items(), values, strict=True)}
    assert [row["event_id"] for row in (rows[0], rows[-1])] == ["1-1", "1-1"]
    assert [row["_raw"] for row in (rows[0], rows[-1])] == [None, None]
    assert {row["_kafka_key"] for row in rows} == {b"7"}
    line = case.ledger(exact=True).partitions[0]
    assert (line.read, line.quarantined, line.unaccounted) == (2, len(BROKEN), 0)


def test_the_headers_of_a_broken_record_are_kept_and_shown(stack: Settings, spark: SparkSession, tmp_path: Path):
    """A key may repeat, a value be null or no text. A good record leaves nothing; an older table gains the column."""
    case = stream_case(stack)
    good = case.framed(sale(1))
    case.produce(good)
    case.read_once(spark)
    with get_catalog().load_table(f"bronze.{case.dataset.name}").update_schema() as change:
        change.delete_column("_headers")  # as a table that is older than the column
    case.produce(good, b"noise", headers=HEADERS)
    case.produce(b"without")

    case.read_once(spark)

    values = (("trace", "MQ=="), ("odd", "/w=="), ("trace", None), ("trace", "Mw=="))
    kept = [{"key": key, "value": value} for key, value in values]
    found = [row["_headers"] for row in case.bronze("_headers")]
    assert [found[0], found[1], found[3]] == [None] * 3
    assert json.loads(found[2]) == kept
    listed = {record.offset: record.headers for record in quarantine_of(case.dataset)}
    assert listed == {2: (("trace", "1"), ("odd", "\\xff"), ("trace", None), ("trace", "3")), 3: ()}
    own_project(case, tmp_path)
    with environment(HEADWATER_PROJECT_DIR=str(tmp_path)):
        [shown] = record_at(case.dataset.name, 0, 2)
    assert shown["_headers"] == found[2]
