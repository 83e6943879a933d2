"""Fault 10: truncated Avro, wrong magic byte, empty value, 1 MiB value. In quarantine with place, reason and bytes."""

from collections.abc import Callable

import pytest
from pyspark.sql import SparkSession
from tests.streams import StreamCase, sale, stream_case

from headwater.settings import Settings

pytestmark = pytest.mark.integration

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
