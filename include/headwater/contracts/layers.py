"""Which columns a dataset has in each layer, in order, with no engine in it.

Every target (Iceberg, ClickHouse, the Spark jobs, the documentation) asks here, so that the layers agree.
`ENVELOPE` stands in front of a stream's own columns; the loader has put it into `Dataset.columns`.
"""

from __future__ import annotations

from dataclasses import replace

from headwater.contracts.model import Column, Dataset, Kind
from headwater.contracts.types import Array, Primitive
from headwater.errors import ContractError

ENVELOPE: tuple[Column, ...] = (
    Column("event_id", Primitive.STRING, "Derives from the source row, so that a replay repeats it", required=True),
    Column("event_type", Primitive.STRING, "What happened"),
    Column("event_timestamp", Primitive.TIMESTAMP, "When it happened, by the source's clock", required=True),
    Column("source_system", Primitive.STRING, "Who sent it"),
    Column("schema_version", Primitive.INT, "Version of the contract's Avro schema the producer wrote with"),
)
"""Fields that every event carries in front of its own."""

TOPIC, PARTITION, OFFSET = "_kafka_topic", "_kafka_partition", "_kafka_offset"
TOPIC_ID = "_kafka_topic_id"
INGESTED_AT, ATTEMPT, ERROR, RAW, HEADERS = "_ingested_at", "_attempt", "_error", "_raw", "_headers"

_POSITION: tuple[Column, ...] = (
    Column(TOPIC, Primitive.STRING, "Topic the record came from"),
    Column(PARTITION, Primitive.INT, "Partition of that topic"),
    Column(OFFSET, Primitive.LONG, "Offset in that partition"),
)
_SOURCE_SYSTEM = Column("_source_system", Primitive.STRING, "System the row came from")
_INGESTED = Column(INGESTED_AT, Primitive.TIMESTAMP, "When the platform took it in")
_RECORD_HASH = Column("_record_hash", Primitive.STRING, "Hash of the record as it arrived")

STREAM_PROVENANCE: tuple[Column, ...] = (
    *_POSITION,
    Column(TOPIC_ID, Primitive.STRING, "Id of that topic: another one of the same name has another"),
    Column("_kafka_key", Primitive.BINARY, "Key of the record"),
    Column("_kafka_timestamp", Primitive.TIMESTAMP, "Timestamp of the record in the log"),
    Column("_schema_id", Primitive.INT, "Schema id in the record's header; null where it is unreadable"),
    _SOURCE_SYSTEM,
    _INGESTED,
    _RECORD_HASH,
    Column(ATTEMPT, Primitive.INT, "0 as it arrived; a replay appends the next"),
    Column(ERROR, Primitive.STRING, "Why the record could not be read; null where it could"),
    Column(RAW, Primitive.BINARY, "The bytes, where it could not be read"),
    Column(HEADERS, Primitive.STRING, "The record's headers, where it could not be read: JSON, values in base64"),
)
TABLE_PROVENANCE: tuple[Column, ...] = (
    _SOURCE_SYSTEM,
    _INGESTED,
    _RECORD_HASH,
    Column("_operation", Primitive.STRING, "upsert or delete"),
)
OPERATION, LSN, PRIOR_COMMIT, COMMITTED_AT = "_operation", "_lsn", "_prior_commit_lsn", "_committed_at"
_LOG_POSITION: tuple[Column, ...] = (
    Column(LSN, Primitive.LONG, "Where the change stands in the source's log"),
    Column(PRIOR_COMMIT, Primitive.LONG, "The last commit in the log before the change's own: first part of the order"),
    Column(
        COMMITTED_AT, Primitive.TIMESTAMP, "When the change was committed in the source; of a read, when it was read"
    ),
)
CAPTURE_PROVENANCE: tuple[Column, ...] = (
    *STREAM_PROVENANCE,
    Column(OPERATION, Primitive.STRING, "insert, update, delete, truncate, read (of a snapshot) or tombstone"),
    *_LOG_POSITION,
    Column("_tx_id", Primitive.LONG, "The source's transaction"),
)
FILES_PROVENANCE: tuple[Column, ...] = (
    _SOURCE_SYSTEM,
    _INGESTED,
    _RECORD_HASH,
    Column("_source_file", Primitive.STRING, "File the row came from, relative to the landing folder"),
)
PROVENANCE = {
    Kind.STREAM: STREAM_PROVENANCE,
    Kind.TABLE: TABLE_PROVENANCE,
    Kind.CAPTURE: CAPTURE_PROVENANCE,
    Kind.FILES: FILES_PROVENANCE,
}
"""What bronze adds behind the source's columns."""

DELETED = Column("_is_deleted", Primitive.BOOLEAN, "The source no longer has the row; the last known values remain")
"""What silver adds for a TABLE and a CAPTURE: a deleted key stays as a tombstone, that no late change brings back."""

HISTORY: tuple[Column, ...] = (
    Column("_version_key", Primitive.STRING, "Surrogate key: hash of natural key and valid_from", required=True),
    Column("valid_from", Primitive.TIMESTAMP, "The version holds from here; 1900-01-01 for the first", required=True),
    Column("valid_to", Primitive.TIMESTAMP, "… up to, not including; 9999-12-31 for the open one", required=True),
    Column("is_current", Primitive.BOOLEAN, "Whether this is the open version", required=True),
)
"""What silver adds where the contract asks for history (SCD2), behind all other columns."""

RULE = Column("_rule", Array(Primitive.STRING), "Names of the rules the row broke")


def bronze_columns(dataset: Dataset) -> tuple[Column, ...]:
    """Columns of `lake.bronze.<dataset>`: what the source sends, then the provenance of its kind."""
    return dataset.source_columns + PROVENANCE[_source_kind(dataset)]


def silver_columns(dataset: Dataset) -> tuple[Column, ...]:
    """Columns of `lake.silver.<dataset>`: source and derived ones, `_ingested_at`, position or tombstone, history."""
    by_kind: dict[Kind, tuple[Column, ...]] = {
        Kind.STREAM: _POSITION,
        Kind.TABLE: (DELETED,),
        Kind.CAPTURE: (*_POSITION, *_LOG_POSITION, DELETED),
    }
    added = by_kind.get(_source_kind(dataset), ())
    return (*dataset.columns, _INGESTED, *added, *(HISTORY if dataset.history else ()))


def refused_columns(dataset: Dataset) -> tuple[Column, ...]:
    """Columns of `lake.silver.<dataset>_refused`: bronze's and the rules the row broke."""
    return (*bronze_columns(dataset), RULE)


def gold_columns(dataset: Dataset) -> tuple[Column, ...]:
    """Columns of `lake.gold.<dataset>` and of its ClickHouse table: the contract's own."""
    if dataset.kind is not Kind.MODEL:
        raise ContractError(f"dataset {dataset.name} is a {dataset.kind}, not a gold model", where=str(dataset.path))
    return dataset.columns


def live_columns(dataset: Dataset) -> tuple[Column, ...]:
    """Columns of ClickHouse's `live.<dataset>`: source and derived ones, then place and time of arrival."""
    if dataset.kind is not Kind.STREAM:
        raise ContractError(f"dataset {dataset.name} is a {dataset.kind}, not a stream", where=str(dataset.path))
    return (*dataset.columns, *(replace(c, required=True) for c in (*_POSITION[1:], _INGESTED)))


def table_names(dataset: Dataset) -> tuple[str, ...]:
    """Names of the dataset's tables in the catalog, `<namespace>.<table>`, in the order of the layers."""
    if dataset.kind is Kind.MODEL:
        return (f"gold.{dataset.name}",)
    return f"bronze.{dataset.name}", f"silver.{dataset.name}", f"silver.{dataset.name}_refused"


def columns_of(dataset: Dataset, table: str) -> tuple[Column, ...]:
    """Columns of one of `table_names`."""
    if table == f"silver.{dataset.name}_refused":
        return refused_columns(dataset)
    return {"bronze": bronze_columns, "silver": silver_columns, "gold": gold_columns}[table.split(".")[0]](dataset)


def _source_kind(dataset: Dataset) -> Kind:
    if dataset.kind is Kind.MODEL:
        raise ContractError(
            f"{dataset.name} is a gold model: it has neither bronze nor silver", where=str(dataset.path)
        )
    return dataset.kind
