"""Records of a topic as rows of bronze: each decoded by the schema id in its own header, none left out.

What can go wrong with a record ends up in `_error`, with its bytes in `_raw`:

| reason              | the value                                                                    |
| ------------------- | ---------------------------------------------------------------------------- |
| `empty_value`       | is null or has no bytes                                                      |
| `bad_magic_byte`    | does not begin with 0, as Confluent's framing does                           |
| `too_short`         | ends within the five bytes of the header                                     |
| `unknown_schema_id` | names a schema that is not registered for this topic                         |
| `undecodable_avro`  | does not follow its schema, cannot be read into the newest, or has no event_id |

A corrupt length must not make Avro allocate gigabytes: `AVRO_LIMITS` of `lake.sessions` are options of the JVM, and
what exceeds them counts as undecodable.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.avro.functions import from_avro
from pyspark.sql.types import StructType

from headwater.streaming.writers import Writers

REQUIRED_FIELD = "event_id"
"""Every event has it, so a null means that the value was not decoded."""

_HEADER_BYTES = 5


def bronze_rows(
    records: DataFrame,
    writers: Writers,
    types: Mapping[str, str],
    *,
    topic_id: str,
    source_system: str,
    ingested_at: datetime,
) -> DataFrame:
    """Rows of bronze, one for each record of Spark's Kafka source.

    `types` are the Spark types (as DDL) of the payload columns of the table; a payload field is cast to it, and a
    field that is not among them keeps the type it has in Avro.
    """
    decoded = records.withColumn("_decoded", _by_own_schema(writers)) if writers.by_id else _undecoded(records)
    error = _reason(writers)
    payload = [_payload_column(name, types.get(name)) for name in _payload_names(decoded)]
    return decoded.select(
        *payload,
        F.col("topic").alias("_kafka_topic"),
        F.col("partition").alias("_kafka_partition"),
        F.col("offset").alias("_kafka_offset"),
        F.lit(topic_id).alias("_kafka_topic_id"),
        F.col("key").alias("_kafka_key"),
        F.col("timestamp").alias("_kafka_timestamp"),
        _schema_id(writers).alias("_schema_id"),
        F.lit(source_system).alias("_source_system"),
        _of_this_batch(ingested_at).alias("_ingested_at"),
        record_hash(F.col("value")).alias("_record_hash"),
        F.lit(0).alias("_attempt"),
        error.alias("_error"),
        F.when(error.isNotNull(), F.col("value")).alias("_raw"),
    )


def _of_this_batch(moment: datetime) -> Column:
    """The moment as a constant that does not stand in the generated code.

    Spark writes a number, a date or a timestamp into the Java it generates, so a literal that is another in each batch
    has each batch compiled anew, and run cold. An array is handed over as an object; its place is only known to be 0 at
    run time, or the optimizer would take the moment out of it.
    """
    return F.array(F.lit(moment).cast("timestamp"))[F.least(F.col("partition"), F.lit(0))]


def record_hash(value: Column) -> Column:
    """xxHash64 of the bytes as up to 16 hexadecimal digits; SHA-256 would be 64 random characters a row in Parquet."""
    return F.hex(F.xxhash64(value))


def _prefix() -> Column:
    return F.substring(F.col("value"), 1, _HEADER_BYTES)


def _header(schema_id: int) -> Column:
    return F.lit(bytes([0]) + schema_id.to_bytes(4, "big"))


def _by_own_schema(writers: Writers) -> Column:
    """The decoded struct. `from_avro` takes one writer schema, so there is one expression for each known id."""
    body = F.substring(F.col("value"), _HEADER_BYTES + 1, 2**31 - 1)
    options = {"avroSchema": json.dumps(writers.reader), "mode": "PERMISSIVE"}
    chosen: Column | None = None
    for schema_id, schema in writers.by_id.items():
        condition, struct = _prefix() == _header(schema_id), from_avro(body, json.dumps(schema), options)
        chosen = F.when(condition, struct) if chosen is None else chosen.when(condition, struct)
    assert chosen is not None  # noqa: S101  (the caller has looked)
    return chosen


def _undecoded(records: DataFrame) -> DataFrame:
    """No schema is registered: no record can be decoded, and there are no payload columns."""
    return records.withColumn("_decoded", F.lit(None).cast(f"struct<{REQUIRED_FIELD}:string>"))


def _payload_names(decoded: DataFrame) -> list[str]:
    struct = decoded.schema["_decoded"].dataType
    assert isinstance(struct, StructType)  # noqa: S101  (for the type checker)
    return struct.names


def _payload_column(name: str, target: str | None) -> Column:
    column = F.col("_decoded").getField(name)
    return (column if target is None else column.cast(target)).alias(name)


def _schema_id(writers: Writers) -> Column:
    """The id as a number; its bytes are only computed with where it is not one of the known."""
    framed = (F.length("value") >= _HEADER_BYTES) & (F.substring(F.col("value"), 1, 1) == F.lit(b"\0"))
    parsed = F.conv(F.hex(F.substring(F.col("value"), 2, 4)), 16, 10).cast("bigint").try_cast("int")
    column = F.when(F.lit(False), F.lit(0))
    for schema_id in writers.by_id:
        column = column.when(_prefix() == _header(schema_id), F.lit(schema_id))
    return column.when(framed, parsed)


def _reason(writers: Writers) -> Column:
    value = F.col("value")
    known = F.lit(False)
    for schema_id in writers.by_id:
        known = known | (_prefix() == _header(schema_id))
    return (
        F.when(F.col("_decoded").getField(REQUIRED_FIELD).isNotNull(), F.lit(None).cast("string"))
        .when(value.isNull() | (F.length(value) == 0), F.lit("empty_value"))
        .when(F.substring(value, 1, 1) != F.lit(b"\0"), F.lit("bad_magic_byte"))
        .when(F.length(value) < _HEADER_BYTES, F.lit("too_short"))
        .when(~known, F.lit("unknown_schema_id"))
        .otherwise(F.lit("undecodable_avro"))
    )
