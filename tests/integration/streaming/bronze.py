"""Bronze of a stream as the stream would have left it, written without Spark or Kafka."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.table import Table
from tests.streams import sale

from headwater.contracts.iceberg import apply_table
from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Dataset
from headwater.lake.catalog import get_catalog
from headwater.streaming.ledger import Account


def row(number: int, offset: int, **changes: Any) -> dict[str, Any]:
    """A readable row of partition 0: the sale of that number, at that offset."""
    provenance = {"_kafka_topic": "t", "_kafka_partition": 0, "_kafka_offset": offset, "_kafka_key": b"7"}
    return {**sale(number), **provenance, "_ingested_at": datetime.now(UTC), "_attempt": 0, **changes}


def unreadable(offset: int, raw: bytes, **changes: Any) -> dict[str, Any]:
    """A row whose bytes could not be decoded."""
    nothing = dict.fromkeys(sale(0))
    return row(0, offset, **{**nothing, "_error": "bad_magic_byte", "_raw": raw, **changes})


@dataclass
class Bronze:
    """Fresh tables like those of `transactions`, and the account of what was put in."""

    dataset: Dataset
    account: Account

    @property
    def name(self) -> str:
        return f"bronze.{self.dataset.name}"

    @property
    def table(self) -> Table:
        return get_catalog().load_table(self.name)

    def commit(self, *rows: Mapping[str, Any], ends: Mapping[int, int] | None = None) -> int:
        """Append rows in one snapshot with the account after them; returns the snapshot."""
        reached = {r["_kafka_partition"]: r["_kafka_offset"] + 1 for r in rows if r["_attempt"] == 0}
        self.account = self.account.advanced(ends or reached)
        table = self.table
        known = [{"_kafka_topic_id": self.account.topic_id, **r} for r in rows]
        add_rows(table, known, self.account.properties())
        return table.refresh().metadata.current_snapshot_id or 0

    def refuse(self, *rows: Mapping[str, Any]) -> None:
        """Append rows, each with its `_rule`, to the rows silver refused."""
        add_rows(get_catalog().load_table(f"silver.{self.dataset.name}_refused"), rows, {})

    def expire_all_but_the_newest(self) -> None:
        table = self.table
        old = [s.snapshot_id for s in table.metadata.snapshots if s.snapshot_id != table.metadata.current_snapshot_id]
        table.maintenance.expire_snapshots().by_ids(old).commit()


def add_rows(table: Table, rows: Sequence[Mapping[str, Any]], properties: Mapping[str, str]) -> None:
    """Append rows in one snapshot, a file for each day of arrival (PyIceberg's own append wants Rust for that)."""
    by_day = itertools.groupby(sorted(rows, key=_arrived), key=lambda row: _arrived(row).date())
    files = []
    for _, of_day in by_day:
        files.append(f"{table.location()}/data/{uuid.uuid4().hex}.parquet")
        content = pa.Table.from_pylist([dict(row) for row in of_day], schema=_plain(table))
        with table.io.new_output(files[-1]).create() as target:
            pq.write_table(content, target)
    table.add_files(files, snapshot_properties=dict(properties))


def _plain(table: Table) -> pa.Schema:
    """The table's columns without Iceberg's field ids: files that are added are matched by name."""
    return pa.schema([field.remove_metadata() for field in table.schema().as_arrow()])


def _arrived(row: Mapping[str, Any]) -> datetime:
    arrived: datetime = row["_ingested_at"]
    return arrived


def new_bronze(topic_id: str = "T1", dataset: Dataset | None = None) -> Bronze:
    """An empty bronze table and its table of refused rows; of a dataset like `transactions`, or of this one."""
    if dataset is None:
        dataset = replace(load_dataset("transactions"), name=f"transactions_{uuid.uuid4().hex[:10]}")
    for table in (f"bronze.{dataset.name}", f"silver.{dataset.name}_refused"):
        apply_table(get_catalog(), dataset, table)
    return Bronze(dataset, Account(topic_id, {}, {}))
