"""Who still has to read a table, and from which snapshot on: what expiry must ask before it forgets anything.

Readers are the tables whose summaries name this one as an input, a derived table itself (its next build asks its own
summaries how far the last one had read), a stream's own position (which is in bronze itself), and the live follower's
position in ClickHouse. Whoever is at work now and has no position yet (the first build of a table, a restatement, the
load of the warehouse) is known by the lock it holds: it may read whatever was there when it began.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from headwater.contracts.model import Dataset
from headwater.lake.locks import held_since
from headwater.lake.snapshots import (
    INPUT_OFFSETS_PREFIX,
    INPUT_PREFIX,
    MODEL_KEY,
    ancestry,
    inputs_read,
    nearest_with,
)
from headwater.streaming.ledger import nearest_account

LAYERS = ("silver", "gold")
"""Namespaces whose tables are derived from others."""

STREAM, LIVE = "stream", "live"
"""Readers that are no tables: the stream itself, and the follower of its live table."""

LOAD = "warehouse.gold"
"""The lock of the load into ClickHouse, which reads all of gold."""

POSITIONS = (INPUT_PREFIX, INPUT_OFFSETS_PREFIX, MODEL_KEY)
"""What a derived table says of its last build. Compaction commits on top of it; without it the next build is whole."""


BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
COMMITTED_WITHIN = timedelta(days=1)
"""No batch is committed later than so long after its rows arrived."""


@dataclass(frozen=True, slots=True)
class Unread:
    """What somebody has yet to read of bronze: the rows that arrived from `since` on."""

    since: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who has read the table up to `snapshot_id` and needs it to go on."""

    name: str
    snapshot_id: int


def readers_of(catalog: Catalog, dataset: Dataset, name: str) -> list[Reader]:
    """All readers of `<namespace>.<table>` whose position is known."""
    found = [Reader(reader, position) for reader, position in _derived(catalog, name)]
    if name.split(".")[0] in LAYERS:
        table = catalog.load_table(name)
        own = {snapshot.snapshot_id for key in POSITIONS if (snapshot := nearest_with(table, key)) is not None}
        found += [Reader(name, position) for position in sorted(own)]
    if name.startswith("bronze.") and dataset.streamed:
        account = nearest_account(catalog.load_table(name))
        if account is not None and account.snapshot_id is not None:
            found.append(Reader(STREAM, account.snapshot_id))
        found += _live(dataset)
    return found


def under_way(catalog: Catalog, name: str) -> dict[str, datetime]:
    """Builds and loads that are running and may read the table, and since when."""
    tables = {
        ".".join(table) for layer in LAYERS if catalog.namespace_exists(layer) for table in catalog.list_tables(layer)
    }
    return held_since(({LOAD} | tables) - {name})


def oldest_needed(table: Table, readers: list[Reader]) -> tuple[int, str] | None:
    """Time (ms since 1970) of the oldest snapshot that a reader needs, and who needs it; None where nobody does.

    A position that is no longer on the way back from the head does not count: that reader goes on from elsewhere.
    """
    times = {snapshot.snapshot_id: snapshot.timestamp_ms for snapshot in ancestry(table)}
    return min(((times[r.snapshot_id], r.name) for r in readers if r.snapshot_id in times), default=None)


def unread(table: Table, dataset: Dataset, readers: list[Reader]) -> Unread | None:
    """What readers have yet to read of a dataset's bronze; None where nobody reads it.

    Those who read it by the contract count too while they have no position: silver that was never built, or whose place
    in bronze has been forgotten, and a live table that nothing was taken into.
    """
    placed = [reader for reader in readers if reader.name != STREAM]
    times = {snapshot.snapshot_id: snapshot.timestamp_ms for snapshot in ancestry(table)}
    known = {reader.name for reader in placed if reader.snapshot_id in times}
    if missing := [name for name in _by_contract(dataset) if name not in known]:
        return Unread(BEGINNING, missing[0])
    needed = oldest_needed(table, placed)
    if needed is None:
        return None
    return Unread(datetime.fromtimestamp(needed[0] / 1000, UTC) - COMMITTED_WITHIN, needed[1])


def _by_contract(dataset: Dataset) -> Iterator[str]:
    """Readers of bronze that the contract names. Rows that the live table would drop at once are of no use to it."""
    yield f"silver.{dataset.name}"
    kept, days = dataset.retention_days.get("bronze"), dataset.live.ttl_days if dataset.live is not None else 0
    if dataset.live is not None and (days is None or kept is None or days > kept):
        yield LIVE


def _derived(catalog: Catalog, name: str) -> list[tuple[str, int]]:
    found = []
    for layer in LAYERS:
        if not catalog.namespace_exists(layer):
            continue
        for namespace, table in catalog.list_tables(layer):
            if table.endswith("_refused"):
                continue  # it moves only when a row is refused; its silver, built with it, says how far both have come
            position = inputs_read(catalog.load_table((namespace, table))).get(name)
            if position is not None:
                found.append((f"{namespace}.{table}", position))
    return found


def _live(dataset: Dataset) -> list[Reader]:
    """The live follower's position. Raises `RetryableError` while ClickHouse is down: nobody knows then."""
    if dataset.live is None:
        return []
    from headwater.streaming.live_tables import read_position
    from headwater.warehouse.client import writer

    client = writer()
    if not client.command("EXISTS TABLE platform.live_positions"):
        return []
    position = read_position(client, dataset.name)
    return [] if position is None else [Reader(LIVE, position.snapshot_id)]
