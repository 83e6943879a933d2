"""Iceberg: schema, partition spec and properties of a dataset's tables; creating and evolving them.

Every column is optional: Spark and Arrow refuse to write a nullable frame into a required column, and the contract's
rules already hold the nulls.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NamespaceAlreadyExistsError, NoSuchTableError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import DayTransform, IdentityTransform, MonthTransform, Transform, YearTransform

from headwater.contracts import model
from headwater.contracts.iceberg_types import can_promote, iceberg_schema, iceberg_type
from headwater.contracts.layers import (
    INGESTED_AT,
    PROVENANCE,
    columns_of,
    table_names,
)
from headwater.contracts.model import Column, Dataset
from headwater.errors import ContractError, RetryableError

log = logging.getLogger(__name__)

TRANSFORMS: dict[str, Transform] = {  # type: ignore[type-arg]
    "identity": IdentityTransform(),
    "day": DayTransform(),
    "month": MonthTransform(),
    "year": YearTransform(),
}
PROPERTIES = {
    "format-version": "2",
    # Level 1 costs a tenth less CPU than level 3, measured in the stream.
    "write.parquet.compression-codec": "zstd",
    "write.parquet.compression-level": "1",
    # A trigger every second makes 86,400 metadata files a day.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.retry.num-retries": "10",
}
"""Properties of every table."""

LAYER_PROPERTIES = {
    # Rows arrive in the order of the log and are written where they are: no shuffle before the write.
    "bronze": {"write.distribution-mode": "none", "write.spark.fanout.enabled": "true"},
    # New rows are appended and replaced ones marked: the cost follows the change.
    "silver": {
        "write.merge.mode": "merge-on-read",
        "write.update.mode": "merge-on-read",
        "write.delete.mode": "merge-on-read",
    },
    "gold": {},
}


def partition_spec(dataset: Dataset, table: str, schema: Schema) -> PartitionSpec:
    """Partitions of one of the dataset's tables: bronze and refused rows by day of arrival, others as declared."""
    if table.startswith("bronze.") or table.endswith("_refused"):
        fields: tuple[model.PartitionField, ...] = (model.PartitionField(INGESTED_AT, "day"),)
    else:
        fields = dataset.partition_by
    return PartitionSpec(*(_partition(schema, i, f) for i, f in enumerate(fields)))


def _partition(schema: Schema, position: int, field: model.PartitionField) -> PartitionField:
    name = field.column if field.transform == "identity" else f"{field.column}_{field.transform}"
    source = schema.find_field(field.column).field_id
    return PartitionField(source_id=source, field_id=1000 + position, transform=TRANSFORMS[field.transform], name=name)


def table_properties(dataset: Dataset, table: str) -> dict[str, str]:
    """Properties of one of the dataset's tables."""
    own = {"headwater.dataset": dataset.name, "headwater.contract-version": dataset.version}
    return {**PROPERTIES, **LAYER_PROPERTIES[table.split(".")[0]], **own}


def ensure_tables(catalog: Catalog, dataset: Dataset) -> list[str]:
    """Create the dataset's tables or bring them up to the contract; says what was done, empty where nothing.

    Columns are added and types promoted; a column that the contract dropped stays, with null from then on.
    Raises `ContractError` where Iceberg lacks the promotion or the partitions would change.
    """
    return [done for table in table_names(dataset) for done in apply_table(catalog, dataset, table)]


def plan_tables(catalog: Catalog, dataset: Dataset) -> list[str]:
    """What `ensure_tables` would do. Raises as it does."""
    return [change for table in table_names(dataset) for change in plan_table(catalog, dataset, table)]


def plan_table(catalog: Catalog, dataset: Dataset, name: str) -> list[str]:
    """What `apply_table` would do to one table."""
    with _explained(name):
        return _plan(_load(catalog, name), dataset, name)


def _plan(table: Table | None, dataset: Dataset, name: str) -> list[str]:
    if table is None:
        return [f"create table {name}"]
    added, promoted, described = _differences(table, dataset, name)
    properties = _changed_properties(table, dataset, name)
    return [
        *(f"{name}: add column {c.name} {c.type}" for c in added),
        *(f"{name}: promote column {c.name} to {c.type}" for c in promoted),
        *(f"{name}: describe column {c.name}" for c in described),
        *(f"{name}: set {key} = {value}" for key, value in properties.items()),
    ]


def apply_table(catalog: Catalog, dataset: Dataset, name: str) -> list[str]:
    """Create or evolve one table; says what was done. Raises `RetryableError` where somebody else was faster."""
    with _explained(name):
        table = _load(catalog, name)
        planned = _plan(table, dataset, name)
        if table is None:
            _create(catalog, dataset, name)
        elif planned:
            _evolve(table, dataset, name)
        return planned


def add_provenance(catalog: Catalog, dataset: Dataset, name: str) -> Table:
    """The table, with the provenance that a newer platform keeps (`_kafka_topic_id`, `_headers`, …) added to it.

    So an upgrade needs nobody's hand; null says that it was not kept then. What the contract declares waits for
    `headwater contract apply`, which checks it.
    Raises `RetryableError` where somebody else changed the table at the same time.
    """
    table = catalog.load_table(name)
    kept = {column.name for columns in PROVENANCE.values() for column in columns} - set(table.schema().column_names)
    missing = [column for column in columns_of(dataset, name) if column.name in kept]
    if missing:
        ids = iter(range(1, 1_000_000))
        with _explained(name), table.update_schema() as update:
            for column in missing:
                update.add_column(column.name, iceberg_type(column.type, ids), doc=column.description or None)
        log.info("%s: added %s", name, ", ".join(column.name for column in missing))
    return table


def _evolve(table: Table, dataset: Dataset, name: str) -> None:
    added, promoted, described = _differences(table, dataset, name)
    ids = iter(range(1, 1_000_000))  # update_schema gives nested fields new ids itself
    with table.transaction() as transaction:
        with transaction.update_schema() as update:
            for column in added:
                update.add_column(column.name, iceberg_type(column.type, ids), doc=column.description or None)
            for column in (*promoted, *described):
                wanted = iceberg_type(column.type, ids)
                update.update_column(
                    column.name, field_type=wanted if wanted.is_primitive else None, doc=column.description
                )
        if properties := _changed_properties(table, dataset, name):
            transaction.set_properties(properties)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except CommitFailedException as error:
        what = "somebody else changed the table at the same time"
        raise RetryableError(what, where=f"lake.{name}", remedy="run it again") from error


def _create(catalog: Catalog, dataset: Dataset, name: str) -> None:
    namespace = name.split(".")[0]
    with suppress(NamespaceAlreadyExistsError):  # another dataset's tables are there already
        catalog.create_namespace(namespace)
    schema = iceberg_schema(columns_of(dataset, name))
    catalog.create_table_if_not_exists(
        name,
        schema,
        partition_spec=partition_spec(dataset, name, schema),
        properties=table_properties(dataset, name),
    )


def _load(catalog: Catalog, name: str) -> Table | None:
    try:
        return catalog.load_table(name)
    except NoSuchTableError:
        return None


def _differences(table: Table, dataset: Dataset, name: str) -> tuple[list[Column], list[Column], list[Column]]:
    """Columns to add, to promote, and to describe anew. Raises `ContractError` for what cannot be done."""
    current = {f.name: f for f in table.schema().fields}
    added: list[Column] = []
    promoted: list[Column] = []
    described: list[Column] = []
    for column in columns_of(dataset, name):
        there = current.get(column.name)
        if there is None:
            added.append(column)
            continue
        wanted = iceberg_type(column.type, iter(range(1, 1_000_000)))
        if str(there.field_type) != str(wanted) and (there.field_type.is_primitive or wanted.is_primitive):
            if not can_promote(there.field_type, wanted):
                raise _refuse(dataset, f"{name}.{column.name}: Iceberg cannot turn {there.field_type} into {wanted}")
            promoted.append(column)
        elif (there.doc or "") != column.description:
            described.append(column)
    _check_partitions(table, dataset, name)
    return added, promoted, described


def _check_partitions(table: Table, dataset: Dataset, name: str) -> None:
    schema = table.schema()
    wanted = [
        (f.source_id, str(f.transform))
        for f in partition_spec(dataset, name, _spec_schema(table, dataset, name)).fields
    ]
    current = [(f.source_id, str(f.transform)) for f in table.spec().fields]
    if wanted != current:
        there = ", ".join(f"{f.transform}({schema.find_column_name(f.source_id)})" for f in table.spec().fields)
        raise _refuse(dataset, f"{name} is partitioned by {there or 'nothing'}, and the contract says otherwise")


def _spec_schema(table: Table, dataset: Dataset, name: str) -> Schema:
    """The table's own schema, where it has the partition columns already (they cannot be new ones)."""
    missing = [f.column for f in dataset.partition_by if f.column not in table.schema().column_names]
    if missing and name.split(".")[0] != "bronze" and not name.endswith("_refused"):
        raise _refuse(dataset, f"{name} has no column {missing[0]} to be partitioned by")
    return table.schema()


def _changed_properties(table: Table, dataset: Dataset, name: str) -> dict[str, str]:
    wanted = {k: v for k, v in table_properties(dataset, name).items() if k != "format-version"}
    return {k: v for k, v in wanted.items() if table.properties.get(k) != v}


def _refuse(dataset: Dataset, what: str) -> ContractError:
    return ContractError(
        what, where=str(dataset.path), remedy="undo the change, or declare a new dataset and move the data"
    )
