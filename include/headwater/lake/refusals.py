"""Rows that silver refuses: `lake.silver.<dataset>_refused`, bronze's columns and the names of the broken rules.

The table keeps its own position, as silver does, and is written before silver. A crash between the two commits leaves
it ahead; the next run then begins behind its position, so no refusal is lost and none is listed twice.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from headwater.contracts.layers import RULE, refused_columns
from headwater.contracts.model import Dataset, Kind
from headwater.lake.conform import first_of, quoted

PLACE = {
    Kind.STREAM: ("_kafka_topic", "_kafka_partition", "_kafka_offset", "_attempt", "_ingested_at"),
    Kind.CAPTURE: ("_kafka_topic", "_kafka_partition", "_kafka_offset", "_attempt", "_ingested_at"),
    Kind.TABLE: ("_record_hash", "_ingested_at"),
    Kind.FILES: ("_record_hash", "_source_file"),
}
"""What identifies a row of bronze, apart from exact repeats."""


def refused_name(dataset: Dataset) -> str:
    """`silver.<dataset>_refused`."""
    return f"silver.{dataset.name}_refused"


def refused_rows(conformed: DataFrame, dataset: Dataset) -> DataFrame:
    """The rows that break a rule, as the refused table's columns (values as cleansed)."""
    columns = [c.name for c in refused_columns(dataset)]
    missing = [name for name in columns if name not in conformed.columns]
    frame = conformed.where(f"size({RULE.name}) > 0")
    if missing:
        frame = frame.selectExpr("*", *(f"null AS `{name}`" for name in missing))
    return frame.selectExpr(*quoted(columns))


def restate_refused(dataset: Dataset, target: str, view: str) -> str:
    """MERGE that makes the refused rows of a range what today's rules say: `view` holds all rows, judged."""
    same = " AND ".join(f"t.`{name}` <=> s.`{name}`" for name in PLACE[dataset.kind])
    columns = ", ".join(quoted([c.name for c in refused_columns(dataset)]))
    values = ", ".join(f"s.{name}" for name in quoted([c.name for c in refused_columns(dataset)]))
    rule = RULE.name
    return f"""MERGE INTO {target} t USING {view} s ON {same}
WHEN MATCHED AND size(s.{rule}) = 0 THEN DELETE
WHEN MATCHED AND t.{rule} <> s.{rule} THEN UPDATE SET t.{rule} = s.{rule}
WHEN NOT MATCHED AND size(s.{rule}) > 0 THEN INSERT ({columns}) VALUES ({values})"""  # noqa: S608  (names of contracts, held to [a-z0-9_])


def one_per_place(conformed: DataFrame, dataset: Dataset) -> DataFrame:
    """The rows without exact repeats, which a MERGE would stumble over."""
    place = ", ".join(quoted(PLACE[dataset.kind]))
    return first_of(conformed, place, quoted(PLACE[dataset.kind])[0])
