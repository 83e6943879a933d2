"""Rows live as long as the contract says, and what has gone is on record.

Only whole partitions go, so that nothing is rewritten: a table that is cut by month keeps a row up to a month longer.
A stream's bronze forgets rows and notes how many, per Kafka partition, in one commit: the property `headwater.retained`
of the table, which no expiry of snapshots takes away; the ledger goes on from there. Rows that a reader has yet to see
stay, whatever their age.

| table | goes by |
| --- | --- |
| bronze, and the rows silver refused | time of arrival, by day |
| bronze of a source table | the same, but for the newest row of each key, against which the source is compared |
| bronze of files | the same, but for files that still lie in the landing folder: they would come in again |
| silver of a stream or of files, and gold | the date or time by which the contract partitions it |
| silver of a source table, read or captured, and what has no such column | nothing goes: it is what is true now |

Silver that gold is built from stays as long as that gold: what silver has let go could not be built again.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.table import Table
from pyspark.sql import SparkSession

from headwater.contracts.layers import ATTEMPT, INGESTED_AT, OFFSET, PARTITION
from headwater.contracts.model import Contracts, Dataset, Kind
from headwater.contracts.types import Primitive
from headwater.lake import commits
from headwater.lake.batches import file_batches
from headwater.lake.bounds import literal
from headwater.lake.catalog import CatalogUnavailableError
from headwater.lake.changes import RETENTION
from headwater.lake.commits import CATALOG, CommitConflict
from headwater.lake.conform import quoted
from headwater.lake.references import table_name
from headwater.lake.snapshots import TOKEN, with_token
from headwater.settings import get_settings
from headwater.streaming.accounting import of_topic
from headwater.streaming.ledger import Account, Retained, nearest_account, retained_of


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows whose `column` is below `before` go; `before` is the beginning of a partition."""

    column: str
    before: datetime | date
    days: int

    @property
    def condition(self) -> str:
        """In Spark SQL."""
        return f"`{self.column}` < {literal(self.before)}"

    @property
    def row_filter(self) -> str:
        """The same for PyIceberg."""
        return f"{self.column} < '{self.before.isoformat()}'"


def cut_of(dataset: Dataset, name: str, now: datetime) -> Cut | None:
    """What the contract lets go of a table at `now`; None where its rows have no age."""
    layer = name.split(".")[0]
    arrived = layer == "bronze" or name.endswith("_refused")
    days = dataset.retention_days.get("bronze" if arrived else layer)
    if days is None:
        return None
    moment = now - timedelta(days=days)
    if arrived:
        return Cut(INGESTED_AT, datetime.combine(moment.date(), time(), UTC), days)
    if dataset.kind in (Kind.TABLE, Kind.CAPTURE):
        return None
    types = {column.name: column.type for column in dataset.columns}
    for field in dataset.partition_by:
        kind, begin = types.get(field.column), _begin(moment.date(), field.transform)
        if kind is Primitive.DATE:
            return Cut(field.column, begin, days)
        if kind is Primitive.TIMESTAMP and field.transform != "identity":
            return Cut(field.column, datetime.combine(begin, time(), UTC), days)
    return None


def not_beyond(cut: Cut, unread: datetime) -> Cut:
    """The cut of a bronze, moved back where rows that arrived from `unread` on are still to be read by somebody."""
    return replace(cut, before=min(cut.before, datetime.combine(unread.date(), time(), UTC)))


def longest_gold(dataset: Dataset, contracts: Contracts) -> tuple[str, int | None] | None:
    """The model made from this dataset, directly or by way of others, that is kept longest, and its days.

    None days are for ever; None where no model is made from it.
    """
    wanted, models = {dataset.name}, list[Dataset]()
    while found := [m for m in contracts.of_kind(Kind.MODEL) if m not in models and wanted & set(m.inputs)]:
        models += found
        wanted |= {model.name for model in found}
    kept = [(f"gold.{model.name}", model.retention_days.get("gold")) for model in models]
    return max(kept, key=lambda one: math.inf if one[1] is None else one[1], default=None)


def _begin(day: date, transform: str) -> date:
    """The first day of the partition that holds the day."""
    return {"month": day.replace(day=1), "year": day.replace(month=1, day=1)}.get(transform, day)


def expired_rows(table: Table, cut: Cut) -> int:
    """Rows in the files that may hold some that go; 0 where none does. By metadata."""
    return sum(task.file.record_count for task in table.scan(row_filter=cut.row_filter).plan_files())


def drop(spark: SparkSession, catalog: Catalog, dataset: Dataset, name: str, cut: Cut) -> dict[str, Any]:
    """Let the rows go; how many. To be called under the table's lock."""
    table = catalog.load_table(name)
    if name.startswith("bronze.") and dataset.streamed:
        return _drop_stream(table, cut)
    before, merge = _rows(table), _row_by_row(dataset, name, cut)
    if merge is None:
        _delete(table, cut)
    else:
        commits.execute(catalog, spark, name, merge, {RETENTION: cut.condition})
    after = catalog.load_table(name)
    return {"rows": before - _rows(after), "snapshot_id": after.metadata.current_snapshot_id}


def _rows(table: Table) -> int:
    return sum(task.file.record_count for task in table.scan().plan_files())


def _row_by_row(dataset: Dataset, name: str, cut: Cut) -> str | None:
    """MERGE that deletes where not all old rows go; None where they do.

    A DELETE would not do: where whole files go, Spark commits it without the keys of the session's summary.
    """
    target, old = f"{CATALOG}.{name}", f"t.{cut.condition}"
    if name.startswith("bronze.") and dataset.kind is Kind.TABLE:
        key = ", ".join(quoted(dataset.primary_key))
        same = " AND ".join(f"t.{column} <=> newest.{column}" for column in quoted(dataset.primary_key))
        newest = f"SELECT {key}, max({INGESTED_AT}) AS newest FROM {target} GROUP BY {key}"  # noqa: S608
        return f"""MERGE INTO {target} t USING ({newest}) newest ON {same}
            AND {old} AND t.{INGESTED_AT} < newest.newest WHEN MATCHED THEN DELETE"""
    if name.startswith("bronze.") and dataset.kind is Kind.FILES and (landed := _landed(dataset)):
        stay = ", ".join(literal(file) for file in landed)
        gone = f"SELECT DISTINCT _source_file FROM {target} t WHERE {old} AND _source_file NOT IN ({stay})"  # noqa: S608
        return f"""MERGE INTO {target} t USING ({gone}) gone ON t._source_file = gone._source_file
            AND {old} WHEN MATCHED THEN DELETE"""
    return None


def _landed(dataset: Dataset) -> list[str]:
    """Files of the landing folder, by the names that bronze gives them."""
    folder = get_settings().landing_dir
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob(dataset.source_name))


def _drop_stream(table: Table, cut: Cut) -> dict[str, Any]:
    """Rows and the note of them in one commit, tried again by PyIceberg where the stream comes in between.

    What is counted can't change meanwhile: rows that arrive now are of today.
    """
    account = nearest_account(table)
    if account is None:
        return {"rows": 0}
    rows = expired_rows(table, cut)
    noted = _counted(table, account, cut)
    _delete(table, cut, noted.properties())
    counted = {"first_attempts_so_far": dict(noted.rows), "all_below": dict(noted.below)}
    return {"rows": rows, "snapshot_id": table.metadata.current_snapshot_id} | counted


def _delete(table: Table, cut: Cut, noted: Mapping[str, str] | None = None) -> None:
    """Delete all old rows, and note `noted` as properties of the table, in one commit.

    By PyIceberg, since it can do both at once, and since whole files go without Spark. Other writers' commits in
    between are followed. Raises `CommitConflict` where they came first each time.
    """
    token = uuid.uuid4().hex
    told = {RETENTION: cut.condition, TOKEN: token, **(noted or {})}
    try:
        with table.transaction() as transaction:
            transaction.delete(cut.row_filter, snapshot_properties=told)
            if noted:
                transaction.set_properties(dict(noted))
    except CatalogUnavailableError:
        if with_token(table.refresh(), token) is None:
            raise  # otherwise the rows have gone, and only the answer was lost
    except (CommitFailedException, ValidationException) as error:
        name = table_name(table)
        remedy = "nothing was changed; the next maintenance tries again"
        raise CommitConflict("another writer changed the table in each try", where=name, remedy=remedy) from error


def _counted(table: Table, account: Account, cut: Cut) -> Retained:
    """What the table will have let go of, with the rows of this cut; of the account's topic, as they arrived."""
    before = retained_of(table, account.topic_id)
    rows, below = Counter(dict(before.rows)), dict(before.below)
    condition = of_topic(table, account, f"{ATTEMPT} = 0 AND {cut.row_filter}")
    for _, batch in file_batches(table.scan(row_filter=condition, selected_fields=(PARTITION, OFFSET))):
        for partition, offset in zip(*(batch[name].to_pylist() for name in (PARTITION, OFFSET)), strict=True):
            rows[partition] += 1
            below[partition] = max(below.get(partition, 0), offset + 1)
    return Retained(account.topic_id, dict(rows), below)
