"""Change events of a captured table as rows of bronze: each decoded by its own schema, none left out.

A record of Debezium's Postgres connector is an envelope: the row `before` and `after`, `op`, and `source` with the
place in the log. It becomes one row: the columns of `after` (of a delete those of `before`), named and typed as the
contract says, and what happened (`_operation`, `_lsn`, `_prior_commit_lsn`, `_committed_at`, `_tx_id`). A tombstone (no
value, it lets Kafka forget the key) and a truncate are rows too, without columns of their own.

The source's columns may change while the stream runs. What the contract does not know is left out, and told once
(`unlike`); what the record does not have is null; a column that the source calls otherwise is found by its
`physicalName`, or, in records from before the source renamed it, by its own.

What can go wrong beyond the reasons of `streaming.decode`, in `_error`, with the bytes in `_raw`:

| reason                | the record                                                                             |
| --------------------- | -------------------------------------------------------------------------------------- |
| `unknown_operation`   | has an `op` that is none of Debezium's                                                 |
| `row_missing`         | is an insert, update, read or delete without a row                                     |
| `does_not_fit: names` | has values that the contract's types cannot hold: widen them, then take a new snapshot |
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.avro.functions import from_avro

from headwater.contracts.cleansing import spark_type
from headwater.contracts.layers import COMMITTED_AT, LSN, OPERATION, PRIOR_COMMIT
from headwater.contracts.model import Column, Dataset
from headwater.contracts.named_types import definitions, full_name
from headwater.contracts.types import Decimal, Primitive
from headwater.streaming.decode import avro_body, begins_with_id, provenance, why_unreadable
from headwater.streaming.writers import Writers

OPERATIONS = {"c": "insert", "u": "update", "d": "delete", "t": "truncate", "r": "read"}
"""Debezium's `op`, and what bronze calls it. A record without a value is a `tombstone`."""

FROM_CONNECT = {
    "io.debezium.time.Date": "date_from_unix_date({})",
    "io.debezium.time.Timestamp": "timestamp_millis({})",
    "io.debezium.time.MicroTimestamp": "timestamp_micros({})",
    "io.debezium.time.NanoTimestamp": "timestamp_micros({} div 1000)",
    "io.debezium.time.ZonedTimestamp": "try_cast({} AS timestamp)",
    "io.debezium.time.IsoDate": "try_cast({} AS date)",
    "io.debezium.time.IsoTimestamp": "try_cast({} AS timestamp)",
}
"""What Connect's names of a type mean, as Spark SQL over the value; other values are taken as Avro has them."""

NOT_AVRO = re.compile(r"^(?=\d)|\W", re.ASCII)
"""What the connector puts `_` for (or before) in a column's name."""

UNAVAILABLE = "__debezium_unavailable_value"
"""What stands for a large value that did not change, where the table's replica identity is not FULL."""

_EXACT = (Primitive.INT, Primitive.LONG, Primitive.FLOAT)
_FINEST = 18
"""Digits behind the point to which a number that comes as text is compared with what the contract keeps of it."""


def change_rows(
    records: DataFrame, writers: Writers, dataset: Dataset, *, topic_id: str, source_system: str
) -> DataFrame:
    """Rows of bronze, one for each record of Spark's Kafka source."""
    decoded = records
    for schema_id, schema in writers.by_id.items():
        struct = from_avro(avro_body(), json.dumps(schema), {"mode": "PERMISSIVE"})
        decoded = decoded.withColumn(f"_d{schema_id}", F.when(begins_with_id(schema_id), struct))
    for schema_id in writers.by_id:
        row = f"if(_d{schema_id}.op = 'd', _d{schema_id}.before, _d{schema_id}.after)"
        decoded = decoded.withColumn(f"_i{schema_id}", F.expr(row))
    known = [(i, columns) for i, schema in writers.by_id.items() if (columns := row_fields(schema)) is not None]
    cases = [f"WHEN _d{i}.op IS NOT NULL THEN {_change(i, s, dataset, writers.by_id[i])}" for i, s in known]
    nothing = f"cast(NULL AS {_change_type(dataset)})"
    change = f"CASE {' '.join(cases)} ELSE {nothing} END" if cases else nothing
    decoded = decoded.withColumn("_change", F.expr(change))
    payload = [F.expr(f"_change.`{c.name}`").alias(c.name) for c in dataset.source_columns]
    told = provenance(writers, _error(writers), topic_id=topic_id, source_system=source_system)
    names = " ".join(f"WHEN _change.`_op` = '{op}' THEN '{name}'" for op, name in OPERATIONS.items())
    operation = F.expr(f"CASE WHEN value IS NULL THEN 'tombstone' {names} END").alias(OPERATION)
    places = [F.expr(f"_change.`{name}`").alias(name) for name in (LSN, PRIOR_COMMIT, COMMITTED_AT, "_tx_id")]
    return decoded.select(*payload, *told, operation, *places)


def row_fields(envelope: Any) -> dict[str, Any] | None:
    """The columns of the rows in an envelope, by name, each with its Avro type; None where it is no envelope."""
    if not isinstance(envelope, dict):
        return None
    fields = {field["name"]: field["type"] for field in envelope.get("fields", ())}
    if not {"before", "after", "op", "source"} <= set(fields):
        return None
    row = _plain(fields["after"])
    if isinstance(row, str):
        namespace = envelope.get("namespace") or envelope["name"].rpartition(".")[0]
        row = definitions(envelope).get(full_name(row, namespace))
    return {field["name"]: field["type"] for field in row["fields"]} if isinstance(row, dict) else None


def unlike(dataset: Dataset, by_id: Mapping[int, Any]) -> list[str]:
    """How the columns that the source has now differ from the contract's, in sentences; empty where they do not.

    What the source has now is what the newest of its schemas says.
    """
    schemas = [fields for schema in by_id.values() if (fields := row_fields(schema)) is not None]
    if not schemas:
        return []
    newest = schemas[-1]
    mine = {column.name: source_field(column, newest) for column in dataset.source_columns}
    more = sorted(set(newest) - {field for field in mine.values() if field is not None})
    gone = sorted(name for name, field in mine.items() if field is None)
    told = []
    if more:
        told.append(f"the source has {', '.join(more)}, which the contract does not have: left out")
    if gone:
        told.append(f"the source does not have {', '.join(gone)}: null from now on")
    return told


def source_field(column: Column, fields: Mapping[str, Any]) -> str | None:
    """What the source calls the column in rows with these fields; None where it is not there.

    A record from before a rename still has the old name, which the column of the contract has kept. The connector makes
    names that Avro does not allow into ones that it does.
    """
    names = [name for name in (column.source_name, column.name) if name]
    return next((n for name in names for n in (name, NOT_AVRO.sub("_", name)) if n in fields), None)


def _change(schema_id: int, fields: Mapping[str, Any], dataset: Dataset, envelope: Any) -> str:
    """Spark SQL: the change as a struct that is the same for all schemas."""
    decoded, row = f"_d{schema_id}", f"_i{schema_id}"
    parts, misfits = [], []
    for column in dataset.source_columns:
        name = source_field(column, fields)
        if name is None:
            parts.append(f"'{column.name}', cast(NULL AS {spark_type(column)})")
            continue
        value = as_sql(f"{row}.`{name}`", fields[name])
        kept = f"try_cast({value} AS {spark_type(column)})"
        parts.append(f"'{column.name}', {kept}")
        misfits.append(f"if({does_not_fit(value, kept, column, fields[name])}, '{column.name}', NULL)")
    source = {field["name"] for field in _source_fields(envelope)}
    moment = f"timestamp_micros({decoded}.source.ts_us)" if "ts_us" in source else None
    prior = _first_of_sequence(f"{decoded}.source.sequence") if "sequence" in source else None
    lsn = f"{decoded}.source.lsn"
    parts += [
        f"'_op', {decoded}.op",
        f"'_has_row', {row} IS NOT NULL",
        f"'_misfits', array_join(array_compact(array({', '.join(misfits) or 'cast(NULL AS string)'})), ', ')",
        f"'{LSN}', {lsn}",
        # Without a commit before it the change belongs to the first transaction of all, or is a first snapshot's row.
        f"'{PRIOR_COMMIT}', coalesce({prior or 'cast(NULL AS bigint)'}, {lsn})",
        f"'{COMMITTED_AT}', {moment or f'timestamp_millis({decoded}.source.ts_ms)'}",
        f"'_tx_id', {decoded}.source.txId",
    ]
    return f"named_struct({', '.join(parts)})"


def _first_of_sequence(text: str) -> str:
    """Spark SQL: the first of `["12","34"]`, null of `[null,"34"]`. Cheaper than parsing JSON in every row."""
    return f"""try_cast(if(startswith({text}, '["'), substring_index(substring({text}, 3), '"', 1), NULL) AS bigint)"""


def _change_type(dataset: Dataset) -> str:
    columns = [f"`{c.name}`: {spark_type(c)}" for c in dataset.source_columns]
    columns += ["`_op`: string", "`_has_row`: boolean", "`_misfits`: string"]
    places = [f"`{LSN}`: bigint", f"`{PRIOR_COMMIT}`: bigint", f"`{COMMITTED_AT}`: timestamp", "`_tx_id`: bigint"]
    return f"struct<{', '.join([*columns, *places])}>"


def as_sql(value: str, avro_type: Any) -> str:
    """Spark SQL for a value of this Avro type as Connect means it."""
    plain = _plain(avro_type)
    name = plain.get("connect.name") if isinstance(plain, dict) else None
    if isinstance(plain, dict) and plain.get("logicalType") and name not in FROM_CONNECT:
        return value  # Spark has read it as what it is
    return FROM_CONNECT.get(str(name), "{}").format(value)


def does_not_fit(value: str, kept: str, column: Column, avro_type: Any) -> str:
    """Spark SQL: whether the contract's type cannot hold the value as it is. A null always fits."""
    plain = _plain(avro_type)
    kind = plain if isinstance(plain, str) else plain.get("type")
    if isinstance(plain, dict) and kind == "record":
        return f"{value} IS NOT NULL AND {kept} IS NULL"
    lost = f"({value} IS NOT NULL AND {kept} IS NULL)"
    if kind == "string":
        lost += f" OR ({value} <=> '{UNAVAILABLE}')"
        if isinstance(column.type, Decimal):
            lost += f" OR NOT ({kept} <=> try_cast({value} AS decimal(38,{_FINEST})))"
    elif column.type in _EXACT or isinstance(column.type, Decimal):
        lost += f" OR NOT ({kept} <=> {value})"
    return lost


def _error(writers: Writers) -> SparkColumn:
    known = " OR ".join(f"_change.`_op` = '{op}'" for op in OPERATIONS)
    return (
        F.when(F.col("value").isNull(), F.lit(None).cast("string"))
        .when(F.col("_change").isNull(), why_unreadable(writers))
        .when(~F.expr(known), F.lit("unknown_operation"))
        .when(F.expr("_change.`_op` <> 't' AND NOT _change.`_has_row`"), F.lit("row_missing"))
        .when(F.expr("_change.`_misfits` <> ''"), F.concat(F.lit("does_not_fit: "), F.expr("_change.`_misfits`")))
    )


def _plain(avro_type: Any) -> Any:
    """The type without the alternative that it is null."""
    branches = [branch for branch in avro_type if branch != "null"] if isinstance(avro_type, list) else [avro_type]
    return branches[0] if len(branches) == 1 else branches


def _source_fields(envelope: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for field in envelope["fields"]:
        if field["name"] == "source":
            yield from _plain(field["type"])["fields"]
