"""Records of a topic as rows of bronze: each decoded by the schema id in its own header, none left out.

What can go wrong with a record ends up in `_error`, with its bytes in `_raw` and its headers in `_headers`:

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
from collections.abc import Callable, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.avro.functions import from_avro

from headwater.streaming.writers import Writers

REQUIRED_FIELD = "event_id"
"""Every event has it, so a null means that the value was not decoded."""

_HEADER_BYTES = 5


def bronze_projection(
    writers: Writers, types: Mapping[str, str], *, topic_id: str, source_system: str
) -> Callable[[DataFrame], DataFrame]:
    """What makes rows of bronze of records of Spark's Kafka source, one of each.

    `types` are the Spark types (as DDL) of the payload columns of the table; a payload field is cast to it, and a
    field that is not among them keeps the type it has in Avro.

    It is the same for all batches: to tell the JVM of these columns takes longer than to plan what is to be done.
    """
    decoded = _by_own_schema(writers) if writers.by_id else F.lit(None).cast(f"struct<{REQUIRED_FIELD}:string>")
    names = [field["name"] for field in writers.reader["fields"]] if writers.by_id else [REQUIRED_FIELD]
    is_read = F.col("_decoded").getField(REQUIRED_FIELD).isNotNull()
    error = F.when(is_read, F.lit(None).cast("string")).otherwise(why_unreadable(writers))
    payload = [_payload_column(name, types.get(name)) for name in names]
    columns = [*payload, *provenance(writers, error, topic_id=topic_id, source_system=source_system)]
    return lambda records: records.withColumn("_decoded", decoded).select(*columns)


def provenance(writers: Writers, error: Column, *, topic_id: str, source_system: str) -> list[Column]:
    """What bronze says of a record beside its payload, whatever that is; `error` is null where it could be read."""
    return [
        F.col("topic").alias("_kafka_topic"),
        F.col("partition").alias("_kafka_partition"),
        F.col("offset").alias("_kafka_offset"),
        F.lit(topic_id).alias("_kafka_topic_id"),
        F.col("key").alias("_kafka_key"),
        F.col("timestamp").alias("_kafka_timestamp"),
        _schema_id(writers).alias("_schema_id"),
        F.lit(source_system).alias("_source_system"),
        _moment_of_this_batch().alias("_ingested_at"),
        record_hash(F.col("value")).alias("_record_hash"),
        F.lit(0).alias("_attempt"),
        error.alias("_error"),
        F.when(error.isNotNull(), F.col("value")).alias("_raw"),
        F.when(error.isNotNull(), _headers()).alias("_headers"),
    ]


def _moment_of_this_batch() -> Column:
    """When the batch was planned, as a constant that does not stand in the generated code.

    Spark writes a number, a date or a timestamp into the Java it generates, so a literal that is another in each batch
    has each batch compiled anew, and run cold. An array is handed over as an object; its place is only known to be 0 at
    run time, or the optimizer would take the moment out of it.
    """
    return F.array(F.current_timestamp())[F.least(F.col("partition"), F.lit(0))]


def record_hash(value: Column) -> Column:
    """xxHash64 of the bytes as up to 16 hexadecimal digits; SHA-256 would be 64 random characters a row in Parquet."""
    return F.hex(F.xxhash64(value))


def _headers() -> Column:
    """`[{"key", "value": base64 or null}, …]` in the record's order, for keys may repeat; null where it has none.

    As JSON: a map would want a function of higher order, for which Spark would not compile the whole projection.
    """
    return F.to_json("headers", {"ignoreNullFields": "false"})


def begins_with_id(schema_id: int) -> Column:
    """Whether the record is framed with this schema id."""
    return _prefix() == _header(schema_id)


def avro_body() -> Column:
    """The bytes behind the header."""
    return F.substring(F.col("value"), _HEADER_BYTES + 1, 2**31 - 1)


def _prefix() -> Column:
    return F.substring(F.col("value"), 1, _HEADER_BYTES)


def _header(schema_id: int) -> Column:
    return F.lit(bytes([0]) + schema_id.to_bytes(4, "big"))


def _by_own_schema(writers: Writers) -> Column:
    """The decoded struct. `from_avro` takes one writer schema, so there is one expression for each known id."""
    body = avro_body()
    options = {"avroSchema": json.dumps(writers.reader), "mode": "PERMISSIVE"}
    chosen: Column | None = None
    for schema_id, schema in writers.by_id.items():
        condition, struct = begins_with_id(schema_id), from_avro(body, json.dumps(schema), options)
        chosen = F.when(condition, struct) if chosen is None else chosen.when(condition, struct)
    assert chosen is not None  # noqa: S101  (the caller has looked)
    return chosen


def _payload_column(name: str, target: str | None) -> Column:
    column = F.col("_decoded").getField(name)
    return (column if target is None else column.cast(target)).alias(name)


def _schema_id(writers: Writers) -> Column:
    """The id as a number; its bytes are only computed with where it is not one of the known."""
    framed = (F.length("value") >= _HEADER_BYTES) & (F.substring(F.col("value"), 1, 1) == F.lit(b"\0"))
    parsed = F.conv(F.hex(F.substring(F.col("value"), 2, 4)), 16, 10).cast("bigint").try_cast("int")
    column = F.when(F.lit(False), F.lit(0))
    for schema_id in writers.by_id:
        column = column.when(begins_with_id(schema_id), F.lit(schema_id))
    return column.when(framed, parsed)


def why_unreadable(writers: Writers) -> Column:
    """The reason, by the table above, for a record that could not be decoded."""
    value = F.col("value")
    known = F.lit(False)
    for schema_id in writers.by_id:
        known = known | begins_with_id(schema_id)
    return (
        F.when(value.isNull() | (F.length(value) == 0), F.lit("empty_value"))
        .when(F.substring(value, 1, 1) != F.lit(b"\0"), F.lit("bad_magic_byte"))
        .when(F.length(value) < _HEADER_BYTES, F.lit("too_short"))
        .when(~known, F.lit("unknown_schema_id"))
        .otherwise(F.lit("undecodable_avro"))
    )
