"""Load gold tables into ClickHouse by swap: what changed since the last load, and all datasets of a set together.

1. The newest snapshot of each dataset is noted, dependents before what they read, so that no fact is newer than its
   dimensions.
2. Of each, the partitions that changed since the snapshot last loaded are staged and counted against Iceberg.
3. When everything is staged, the swaps follow in one go: dimensions first. Partitions by REPLACE PARTITION (an emptied
   one is dropped), tables without partitions by EXCHANGE TABLES.
4. `platform.loads` gets the set. A load that was killed before has left no trace there and is simply repeated.
   `platform.shown` says what is shown now, and what the checks said of it.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from graphlib import TopologicalSorter

from clickhouse_connect.driver.client import Client
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, GreaterThanOrEqual, LessThan, Or
from pyiceberg.table import Table

from headwater.contracts.layers import gold_columns
from headwater.contracts.model import Contracts, Dataset, Kind
from headwater.errors import TerminalError
from headwater.lake.changes import changed_partitions
from headwater.lake.locks import table_lock
from headwater.lake.partitions import FOREVER, NOTHING, WHOLE, Affected
from headwater.lake.snapshots import head_id
from headwater.quality.results import latest_reports
from headwater.warehouse.arrow import LoadRefused, chunks, for_clickhouse
from headwater.warehouse.client import explained
from headwater.warehouse.ddl import create_staging, drop_staging, ensure_table, table_uuid, warehouse_table
from headwater.warehouse.partitions import partition_cut
from headwater.warehouse.state import Loaded, Shown, ensure_state, last_snapshots, record, show

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Staged:
    """One dataset, ready to be swapped in: which snapshot, which of its rows, how many."""

    dataset: Dataset
    snapshot_id: int
    parts: Affected
    rows: int


def loadable(contracts: Contracts, domain: str | None = None, names: Sequence[str] = ()) -> tuple[Dataset, ...]:
    """Gold datasets with a ClickHouse table, of a domain or by name; what others read comes first."""
    wanted = {d.name for d in contracts.of_kind(Kind.MODEL) if d.warehouse and domain in (None, d.domain)}
    if names:
        wanted = {contracts.get(name).name for name in names}
    graph = {name: set(contracts.get(name).inputs) & wanted for name in sorted(wanted)}
    return tuple(contracts.get(name) for name in TopologicalSorter(graph).static_order())


def load(
    client: Client,
    catalog: Catalog,
    datasets: Sequence[Dataset],
    requested: Affected = NOTHING,
    before_swap: Callable[[], None] = lambda: None,
) -> list[Loaded]:
    """Bring the warehouse's tables of `datasets` (inputs first) to the lake's newest snapshots; says what it loaded.

    `requested` parts are loaded whatever has changed. `before_swap` is called when all is staged.
    Raises `LoadRefused`, `TableDiffers`, `TableLocked`, `WarehouseUnavailableError`.
    """
    with table_lock("warehouse.gold", purpose="load") as lock, explained("load into the warehouse"):
        ensure_state(client)
        heads = _heads(catalog, datasets)
        known = last_snapshots(client)
        staged = [
            found
            for dataset in datasets
            if dataset.name in heads
            and (found := _stage(client, catalog, dataset, heads[dataset.name], known.get(dataset.name), requested))
        ]
        before_swap()
        lock.assert_held()
        for item in staged:
            if item.parts:
                _swap(client, item)
        loaded = [_loaded(client, item) for item in staged]
        if loaded:
            record(client, uuid.uuid4().hex, loaded)
        show(client, _shown(catalog, heads))
        for item in staged:
            drop_staging(client, item.dataset)
        return loaded


def _shown(catalog: Catalog, heads: dict[str, int]) -> Iterator[Shown]:
    """Each dataset with the snapshot it shows and its newest quality report."""
    reports = {report["dataset"]: report for report in latest_reports()}
    now = datetime.now(UTC)
    for name, head in sorted(heads.items()):
        committed = catalog.load_table(f"gold.{name}").snapshot_by_id(head)
        at = datetime.fromtimestamp(committed.timestamp_ms / 1000, UTC) if committed else now
        report = reports.get(name, {"checked_at": None, "results": []})
        yield Shown(name, head, at, now, report["checked_at"], json.dumps(report["results"]))


def _heads(catalog: Catalog, datasets: Sequence[Dataset]) -> dict[str, int]:
    """The newest snapshot of each, dependents read first; datasets that were never built are left out."""
    heads: dict[str, int] = {}
    for dataset in reversed(datasets):
        name = f"gold.{dataset.name}"
        head = head_id(catalog.load_table(name)) if catalog.table_exists(name) else None
        if head is not None:
            heads[dataset.name] = head
    return heads


def _stage(
    client: Client,
    catalog: Catalog,
    dataset: Dataset,
    head: int,
    known: tuple[int, str] | None,
    requested: Affected,
) -> Staged | None:
    """Fill the staging table; None where the warehouse shows this snapshot already."""
    current = ensure_table(client, dataset)
    table = catalog.load_table(f"gold.{dataset.name}")
    since = known[0] if known and known[1] == current else None
    parts = _parts(dataset, table, since, head) | _aligned(dataset, requested)
    if not parts and since == head:
        return None
    if not parts:  # a snapshot without other rows (compaction): only to be noted
        return Staged(dataset, head, NOTHING, 0)
    log.info("%s: loading %s of snapshot %d", dataset.name, parts.describe(), head)
    name = create_staging(client, dataset)
    scan = table.scan(row_filter=_row_filter(dataset, parts), snapshot_id=head)
    for chunk in chunks(iter(scan.to_arrow_batch_reader())):
        # A whole table may have more months than ClickHouse lets one insert touch unasked.
        rows = for_clickhouse(chunk, gold_columns(dataset), f"gold.{dataset.name}")
        client.insert_arrow(name, rows, settings={"max_partitions_per_insert_block": 0})
    return Staged(dataset, head, parts, _counted(client, name, scan.count()))


def _parts(dataset: Dataset, table: Table, since: int | None, head: int) -> Affected:
    """What differs between two snapshots, in whole ClickHouse partitions."""
    if since == head:
        return NOTHING
    if since is None or dataset.change_column is None:
        return WHOLE
    changed = changed_partitions(table, since, dataset.change_column, retention=True)
    return WHOLE if changed is None else _aligned(dataset, Affected(ranges=changed.ranges))


def _aligned(dataset: Dataset, parts: Affected) -> Affected:
    """Widened to whole ClickHouse partitions; a table without them is loaded whole."""
    if not parts or parts.whole:
        return parts
    cut = partition_cut(dataset)
    return WHOLE if cut is None else parts.aligned(cut)


def _row_filter(dataset: Dataset, parts: Affected) -> BooleanExpression:
    if parts.whole:
        return AlwaysTrue()
    column = dataset.change_column or ""
    found: BooleanExpression | None = None
    for dates in parts.ranges:
        one: BooleanExpression = GreaterThanOrEqual(term=column, value=dates.start.isoformat())
        if dates.end != FOREVER:
            one = And(one, LessThan(term=column, value=dates.end.isoformat()))
        found = one if found is None else Or(found, one)
    return found or AlwaysTrue()


def _counted(client: Client, name: str, expected: int) -> int:
    """Rows of the staging table. Raises `LoadRefused` where Iceberg has another number."""
    count = int(client.query(f"SELECT count() FROM {name}").result_rows[0][0])  # noqa: S608
    if count != expected:
        raise LoadRefused(
            f"{count} rows were staged, but the lake has {expected}", where=name, remedy="run the load again"
        )
    return count


def _swap(client: Client, item: Staged) -> None:
    """Put the staged rows in the place of the table's."""
    table = warehouse_table(item.dataset)
    target, staging = f"{table.database}.{item.dataset.name}", f"staging.{item.dataset.name}"
    if item.parts.whole:
        client.command(f"EXCHANGE TABLES {target} AND {staging}")
        return
    condition = item.parts.condition(item.dataset.change_column or "")
    there = _partition_ids(client, target, condition)
    staged = _partition_ids(client, staging, "true")
    for partition in sorted(staged):
        client.command(f"ALTER TABLE {target} REPLACE PARTITION ID '{partition}' FROM {staging}")
    for partition in sorted(there - staged):
        client.command(f"ALTER TABLE {target} DROP PARTITION ID '{partition}'")


def _partition_ids(client: Client, table: str, condition: str) -> set[str]:
    query = f"SELECT DISTINCT _partition_id FROM {table} WHERE {condition}"  # noqa: S608
    return {str(row[0]) for row in client.query(query).result_rows}


def _loaded(client: Client, item: Staged) -> Loaded:
    table = warehouse_table(item.dataset)
    found = table_uuid(client, table.database, item.dataset.name)
    if not found:
        raise TerminalError(
            "the table is gone", where=f"{table.database}.{item.dataset.name}", remedy="run the load again"
        )
    return Loaded(item.dataset.name, item.dataset.domain, item.snapshot_id, found, item.rows, item.parts.describe())
