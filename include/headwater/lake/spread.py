"""From what changed in the inputs of a gold model to the partitions that have to be built again.

Metadata answers for inputs with dates. For an input with history (SCD2) the rows of the two snapshots are compared,
because what matters is from when on a lookup would find something else: an old version that was merely closed at a
date changes nothing before that date.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from headwater.contracts.model import Contracts, Dataset, Kind, Spread
from headwater.contracts.types import Primitive
from headwater.lake.changes import changed_partitions, is_change
from headwater.lake.conform import comparable
from headwater.lake.models import Model
from headwater.lake.partitions import NOTHING, WHOLE, Affected, dates
from headwater.lake.sessions import CATALOG
from headwater.lake.snapshots import ancestry, head_id, properties_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FIRST = date(1900, 1, 1)
"""The first version of every key is valid from here."""

VALIDITY = ("valid_from", "valid_to")
_NOT_COMPARED = {"valid_from", "valid_to", "is_current", "_ingested_at"}
_FILE_COUNTS = ("added-data-files", "deleted-data-files", "added-delete-files", "removed-delete-files")


def input_heads(catalog: Catalog, model: Model) -> dict[str, int]:
    """The newest snapshot of each input; an input without any is left out."""
    heads = {name: head_id(catalog.load_table(name)) for name in model.inputs}
    return {name: head for name, head in heads.items() if head is not None}


def affected(
    spark: SparkSession,
    catalog: Catalog,
    contracts: Contracts,
    model: Model,
    read: Mapping[str, int],
    heads: Mapping[str, int],
) -> Affected:
    """Partitions of the model's table that the changes of its inputs from `read` to `heads` reach."""
    found = NOTHING
    for name, table in changed_inputs(catalog, model, read, heads).items():
        found |= _spread(spark, contracts, model, table, name, read.get(name), heads[name])
    partition = next((p for p in model.dataset.partition_by if p.column == model.dataset.change_column), None)
    if found and partition is None:
        return WHOLE
    return found.aligned(partition) if found and partition else found


def changed_inputs(
    catalog: Catalog, model: Model, read: Mapping[str, int], heads: Mapping[str, int]
) -> dict[str, Table]:
    """The inputs that concern the model and whose rows may have changed between `read` and `heads`; by metadata."""
    moved = [name for name in model.inputs if name in heads and heads[name] != read.get(name)]
    tables = {name: catalog.load_table(name) for name in moved if model.spread_of(name) is not Spread.NONE}
    return {name: table for name, table in tables.items() if has_changed(table, read.get(name))}


def has_changed(table: Table, since: int | None) -> bool:
    """Whether rows may have changed after snapshot `since`: false after compaction or commits without any file."""
    for snapshot in ancestry(table):
        if snapshot.snapshot_id == since:
            return False
        if _touches_rows(snapshot):
            return True
        if since is not None and snapshot.parent_snapshot_id == since:
            return False
    return since is not None  # what was read has expired, or was never of this table


def _touches_rows(snapshot: Snapshot) -> bool:
    counts = properties_of(snapshot)
    return is_change(snapshot) and any(int(counts.get(key, 0)) for key in _FILE_COUNTS)


def _spread(
    spark: SparkSession, contracts: Contracts, model: Model, table: Table, name: str, since: int | None, head: int
) -> Affected:
    spread, source = model.spread_of(name), contracts.get(name.split(".")[1])
    if spread is Spread.WHOLE or since is None or model.dataset.change_column is None:
        return WHOLE
    columns = {field.name for field in table.schema().fields}
    if spread is Spread.FROM_DATE and columns.issuperset(VALIDITY):
        if table.metadata.snapshot_by_id(since) is None:
            return WHOLE
        keys = natural_key(source, contracts)
        types = {c.name: c.type for c in source.columns}
        compared = [comparable(f"`{c}`", types.get(c, Primitive.STRING)) for c in sorted(columns - _NOT_COMPARED)]
        changes = _version_changes(spark, name, keys, compared, since, head)
        return _from_versions(spark, model, source, changes, keys)
    column = date_column(model.dataset, source)
    changed = None if column is None else changed_partitions(table, since, column)
    if changed is None:
        return WHOLE
    if spread is Spread.FROM_DATE and changed.ranges:
        return dates(changed.ranges[0].start)
    return Affected(ranges=changed.ranges)


def date_column(model: Dataset, source: Dataset) -> str | None:
    """The column of an input from which the model's change column comes: by lineage, else how the input is cut."""
    if model.change_column is not None:
        for origin in model.column(model.change_column).sources:
            dataset, _, column = origin.rpartition(".")
            if dataset == source.name:
                return column
    if source.change_column is not None:
        return source.change_column
    return source.partition_by[0].column if source.partition_by else None


def _from_versions(
    spark: SparkSession, model: Model, source: Dataset, changes: DataFrame, keys: tuple[str, ...]
) -> Affected:
    """Where a lookup of a version finds something else: from the earliest such date, or where rows hold such a key.

    A key that is new, or has gone, differs from 1900 on. The table itself then tells which partitions hold it, if
    each of its rows points at this input (a required reference) and has the key; otherwise all of it is affected.
    """
    changes = changes.cache()
    try:
        earliest = changes.selectExpr("min(affected_from)").collect()[0][0]
        if earliest is None:
            return NOTHING
        if keys and _points_at(model.dataset, source) and {c.name for c in model.dataset.columns}.issuperset(keys):
            return _partitions_holding(spark, model, changes, keys)
        return WHOLE if earliest <= FIRST else dates(earliest)
    finally:
        changes.unpersist()


def natural_key(source: Dataset, contracts: Contracts) -> tuple[str, ...]:
    """The columns that name a thing through all its versions; empty where lineage does not say.

    In silver that is the key; in gold the columns that come from the key of a dataset with history.
    """
    if source.kind is not Kind.MODEL:
        return source.primary_key
    keys = {f"{d.name}.{key}" for d in contracts.datasets.values() if d.history for key in d.primary_key}
    return tuple(c.name for c in source.columns if not c.primary_key and keys.intersection(c.sources))


def _points_at(model: Dataset, source: Dataset) -> bool:
    return any(c.required and (c.references or "").startswith(f"{source.name}.") for c in model.columns)


def _version_changes(
    spark: SparkSession, name: str, keys: tuple[str, ...], compared: list[str], since: int, head: int
) -> DataFrame:
    """Key columns and `affected_from` (date) of each key whose versions differ between two snapshots."""
    attributes = ", ".join(compared)
    sides = {
        side: f"(SELECT *, struct({attributes}) AS attributes FROM {CATALOG}.{name} VERSION AS OF {snapshot})"  # noqa: S608
        for side, snapshot in (("o", since), ("n", head))
    }
    same = " AND ".join(f"o.`{c}` = n.`{c}`" for c in (*keys, "valid_from"))
    key_list = "".join(f"coalesce(n.`{c}`, o.`{c}`) AS `{c}`, " for c in keys)
    return spark.sql(f"""
        SELECT {key_list} to_date(min(CASE
            WHEN o.valid_from IS NULL OR n.valid_from IS NULL OR NOT o.attributes <=> n.attributes
                THEN coalesce(n.valid_from, o.valid_from)
            ELSE least(o.valid_to, n.valid_to) END)) AS affected_from
        FROM {sides["o"]} AS o FULL OUTER JOIN {sides["n"]} AS n ON {same}
        WHERE o.valid_from IS NULL OR n.valid_from IS NULL
            OR NOT o.attributes <=> n.attributes OR o.valid_to <> n.valid_to
        GROUP BY ALL
    """)  # noqa: S608 - names come from contracts


def _partitions_holding(spark: SparkSession, model: Model, changes: DataFrame, keys: tuple[str, ...]) -> Affected:
    from pyspark.sql.functions import expr

    column = model.dataset.change_column
    own = spark.table(f"{CATALOG}.{model.table}").alias("m")
    same = " AND ".join(f"m.`{c}` = c.`{c}`" for c in keys)
    held = own.join(changes.alias("c"), expr(f"{same} AND m.`{column}` >= c.affected_from"), "left_semi")
    found = NOTHING
    for row in held.selectExpr(f"trunc(m.`{column}`, 'MM') AS month").distinct().collect():
        found |= dates(row["month"], _next_month(row["month"]))
    return found


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
