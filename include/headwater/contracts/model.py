"""What a contract says, as plain values that know no engine.

`loader` makes these from Open Data Contract Standard YAML; everything else reads only these. A `Dataset` is one
table's worth of data, named once; its tables are `lake.bronze.<name>`, `lake.silver.<name>`, `lake.gold.<name>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from headwater.contracts.metrics import Metric
from headwater.contracts.types import DataType
from headwater.errors import ContractError


class Kind(StrEnum):
    """Where a dataset comes from."""

    STREAM = "stream"  # a Kafka topic; bronze by the stream, silver by MERGE
    TABLE = "table"  # a table of the source Postgres; bronze by a batch read, silver by MERGE
    CAPTURE = "capture"  # the changes of such a table, from the database's log by Debezium; bronze by the stream
    FILES = "files"  # Parquet files dropped into the landing folder; bronze by batch, silver by MERGE
    MODEL = "model"  # gold: the SELECT of spark_jobs/gold/<domain>/<name>.sql


STREAMED = (Kind.STREAM, Kind.CAPTURE)
"""Kinds whose bronze is read from a topic by the stream, offset by offset."""


class Severity(StrEnum):
    """What a failed rule does: an error stops the publication (or refuses the row), a warning is recorded."""

    ERROR = "error"
    WARNING = "warning"


class Answer(StrEnum):
    """What becomes of a question to data that are stale, or that broke an error rule."""

    WARN = "warn"  # it is answered, and the answer says so
    REFUSE = "refuse"


class Spread(StrEnum):
    """How a change of an input spreads in a gold model."""

    SAME = "same"  # the partitions that hold the changed rows' dates
    FROM_DATE = "from-date"  # the partitions from the earliest changed date onwards
    WHOLE = "whole"  # the whole table
    NONE = "none"  # a change of this input alone rebuilds nothing (the next change of another will read it)


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `derived` is a SQL expression over the other columns, for columns the source does not send."""

    name: str
    type: DataType
    description: str = ""
    required: bool = False
    unique: bool = False
    primary_key: bool = False
    classification: str = "internal"
    enum: tuple[str, ...] = ()
    references: str | None = None  # "<dataset>.<column>"
    derived: str | None = None
    sources: tuple[str, ...] = ()  # lineage: "<dataset>.<column>" or a column of this dataset
    low_cardinality: bool = False  # ClickHouse
    codec: str | None = None  # ClickHouse, e.g. "Delta, ZSTD(1)"
    source_name: str | None = None  # a capture's: what the source calls it, where that is another name


@dataclass(frozen=True, slots=True)
class RowRule:
    """A condition each row must meet, as a SQL expression that both Spark and DuckDB read; null counts as broken.

    Made from `required`, `enum`, `logicalTypeOptions` (minimum, maximum, pattern, maxLength …) and custom rules.
    `check` says from which.
    """

    name: str
    expression: str
    column: str | None = None
    severity: Severity = Severity.ERROR
    check: str = "sql"  # required, enum, minimum, maximum, … as in logicalTypeOptions, number, or sql


@dataclass(frozen=True, slots=True)
class TableRule:
    """A check on a whole table: a metric of the standard and the bounds it must keep (None: no bound)."""

    name: str
    metric: str  # nullValues, missingValues, invalidValues, duplicateValues, rowCount, or sql
    columns: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    unit: str = "rows"  # rows or percent
    query: str | None = None  # metric sql: one number; ${table} stands for the table
    arguments: Mapping[str, object] = field(default_factory=dict)
    severity: Severity = Severity.ERROR
    exclusive: bool = False  # whether the bounds themselves break the rule


@dataclass(frozen=True, slots=True)
class PartitionField:
    """A partition column and its Iceberg transform: identity, day, month, year."""

    column: str
    transform: str = "identity"


@dataclass(frozen=True, slots=True)
class WarehouseTable:
    """A ClickHouse table: database `gold` or `live`."""

    database: str
    engine: str = "MergeTree"
    order_by: tuple[str, ...] = ()
    partition_by: str | None = None  # a ClickHouse expression, e.g. toYYYYMM(sale_date)
    ttl_days: int | None = None  # counted from `_ingested_at`


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset, as its contract declares it. Column order is the contract's; a stream's begin with the envelope."""

    name: str
    domain: str
    kind: Kind
    version: str
    description: str
    owner: str
    columns: tuple[Column, ...]
    path: Path
    business_name: str = ""
    source_name: str = ""  # topic, "schema.table" in Postgres, or glob below the landing folder
    message_key: str | None = None  # the column that keys the topic
    event_type: str | None = None
    source_system: str = ""  # what the envelope and `_source_system` say
    event_time: str | None = None  # the column that says when it happened
    order_by_newest: tuple[str, ...] = ()  # which of two rows of a key wins: compared in this order, greatest wins
    history: bool = False  # SCD2 in silver: valid_from, valid_to, is_current, and a surrogate key
    partition_by: tuple[PartitionField, ...] = ()  # of the silver or gold table
    sort_by: tuple[str, ...] = ()  # columns by which compaction sorts the silver or gold table
    row_rules: tuple[RowRule, ...] = ()
    table_rules: tuple[TableRule, ...] = ()
    warehouse: WarehouseTable | None = None
    live: WarehouseTable | None = None
    spread: Mapping[str, Spread] = field(default_factory=dict)  # gold: per input dataset
    change_column: str | None = None  # gold: the date column by which changes spread
    freshness_seconds: int | None = None
    latency_seconds: int | None = None
    watermark_seconds: int | None = None  # stream: an event that lies further behind the newest one is late
    roles: tuple[str, ...] = ()  # who may read
    tags: tuple[str, ...] = ()
    retention_days: Mapping[str, int] = field(default_factory=dict)  # bronze, silver, gold, snapshots
    metrics: tuple[Metric, ...] = ()  # gold
    when_stale: Answer = Answer.WARN
    when_failing: Answer = Answer.WARN

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Names of the key columns, in order."""
        return tuple(c.name for c in self.columns if c.primary_key)

    @property
    def captured(self) -> bool:
        """Whether it is captured from the log of its source database."""
        return self.kind is Kind.CAPTURE

    @property
    def streamed(self) -> bool:
        """Whether its bronze is read from a topic by the stream."""
        return self.kind in STREAMED

    @property
    def topic(self) -> str:
        """The Kafka topic of a stream; of a captured table `<domain>.<name>`."""
        return f"{self.domain}.{self.name}" if self.captured else self.source_name

    @property
    def subject(self) -> str:
        """The registry subject of a topic's values."""
        return f"{self.topic}-value"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Datasets a gold model reads."""
        return tuple(self.spread)

    @property
    def source_columns(self) -> tuple[Column, ...]:
        """Columns the source sends (all but the derived ones)."""
        return tuple(c for c in self.columns if c.derived is None)

    def column(self, name: str) -> Column:
        """The column of that name. Raises `ContractError` where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise ContractError(f"dataset {self.name} has no column '{name}'", where=str(self.path))


@dataclass(frozen=True, slots=True)
class Contracts:
    """All contracts of a project, by dataset name."""

    datasets: Mapping[str, Dataset]

    def get(self, name: str) -> Dataset:
        """The dataset of that name. Raises `ContractError` that lists the known ones."""
        if name in self.datasets:
            return self.datasets[name]
        known = ", ".join(sorted(self.datasets)) or "none"
        raise ContractError(f"there is no dataset '{name}'", remedy=f"known are: {known}")

    def of_kind(self, *kinds: Kind) -> tuple[Dataset, ...]:
        """Datasets of these kinds, by name."""
        return tuple(d for _, d in sorted(self.datasets.items()) if d.kind in kinds)
