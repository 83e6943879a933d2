"""What is committed to bronze follows into ClickHouse's `live.<dataset>` within seconds.

The follower reads the files that append snapshots added after its own recorded position, and records the position in
ClickHouse after the insert. When it dies between the two, the same rows are sent again: under the same token, which
ClickHouse forgets as a repeat, and into a ReplacingMergeTree, which collapses them if the token is forgotten too.
Records that could not be read and rows that break an ERROR rule stay out. When ClickHouse is down, bronze goes on and
the follower catches up later.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from headwater.contracts.model import Dataset
from headwater.errors import HeadwaterError, RetryableError, TerminalError
from headwater.lake.catalog import get_catalog
from headwater.lake.snapshots import ancestry, operation_of, properties_of
from headwater.settings import get_settings
from headwater.streaming.ledger import account_of, nearest_account
from headwater.streaming.live_rows import LiveRows
from headwater.streaming.live_tables import LivePosition, ensure_tables, make_views, read_position, write_position
from headwater.streaming.live_views import LiveView, views_of
from headwater.warehouse.client import explained, writer

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0


class LiveFollower:
    """Takes one stream's bronze into its live table. `state` is for the heartbeat."""

    def __init__(self, dataset: Dataset) -> None:
        if dataset.live is None:
            raise TerminalError("the contract declares no live table", where=str(dataset.path))
        self.dataset = dataset
        self.state: dict[str, Any] = {"state": "starting"}
        self.wake = threading.Event()
        self._rows = LiveRows(dataset)
        self._client: Client | None = None
        self._position: LivePosition | None = None
        self._views: tuple[LiveView, ...] = ()

    @property
    def _table(self) -> str:
        return f"live.{self.dataset.name}"

    def follow(self, stopping: threading.Event) -> None:
        """Catch up whenever bronze has something new, until asked to stop; what fails is tried again, ever slower."""
        pause = FIRST_PAUSE_SECONDS
        while not stopping.is_set():
            self.wake.clear()
            try:
                self.catch_up()
            except Exception as error:
                log.warning("%s: %s", self._table, error, exc_info=not isinstance(error, HeadwaterError))
                self.state |= {"state": "retrying", "reason": f"{type(error).__name__}: {error}"[:500]}
                self._close()
                stopping.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            else:
                pause = FIRST_PAUSE_SECONDS
                self.wake.wait(POLL_SECONDS)
        self._close()
        self.state["state"] = "stopped"

    def follow_until_interrupted(self) -> None:
        """Follow in the foreground until Ctrl-C."""
        with suppress(KeyboardInterrupt):
            self.follow(threading.Event())

    def catch_up(self) -> int:
        """Take over all that bronze has beyond the recorded position; how many rows were inserted.

        Raises `WarehouseUnavailableError` where ClickHouse is down, `WarehouseQueryError` where it refuses.
        """
        with explained(self._table):
            client = self._connected()
            if self._views:
                self._views = make_views(client, self._views)
            try:
                table = get_catalog().load_table(f"bronze.{self.dataset.name}")
            except NoSuchTableError:
                return 0  # the stream has never run
            inserted = sum(self._take(client, table, *step) for step in self._steps(table))
        self.state = {"state": "following", "snapshot_id": self._position and self._position.snapshot_id}
        return inserted

    def _connected(self) -> Client:
        if self._client is None:
            client = writer()
            ensure_tables(client, self.dataset)
            self._views = views_of(self.dataset, get_settings().live_views_dir)
            self._position = read_position(client, self.dataset.name)
            self._client = client
        return self._client

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _steps(self, table: Table) -> Iterator[tuple[Snapshot, Iterator[pa.RecordBatch]]]:
        """Each snapshot yet to be taken, oldest first, with its rows."""
        position = self._position
        unseen: list[Snapshot] = []
        for snapshot in ancestry(table):
            if position is not None and snapshot.snapshot_id == position.snapshot_id:
                break
            unseen.append(snapshot)
            if position is not None and snapshot.parent_snapshot_id == position.snapshot_id:
                break
        else:
            if position is not None and unseen:
                yield unseen[0], self._beyond(table, position)
                return
        for snapshot in reversed(unseen):
            if operation_of(snapshot) == "append" and int(properties_of(snapshot).get("added-records", 0)):
                yield snapshot, self._added(table, snapshot)

    def _added(self, table: Table, snapshot: Snapshot) -> Iterator[pa.RecordBatch]:
        """The rows one append brought."""
        scan = table.incremental_append_scan(
            selected_fields=self._rows.needed(table),
            from_snapshot_id_exclusive=snapshot.parent_snapshot_id,
            to_snapshot_id_inclusive=snapshot.snapshot_id,
        )
        yield from scan.to_arrow_batch_reader()

    def _beyond(self, table: Table, position: LivePosition) -> Iterator[pa.RecordBatch]:
        """The recorded snapshot has expired: go on from the offsets recorded with it."""
        account = nearest_account(table)
        if account is None or account.topic_id != position.topic_id:
            raise TerminalError(
                "the recorded snapshot has expired and bronze is now read from another topic",
                where=self._table,
                remedy="without its row in platform.live_positions the live table is filled anew",
            )
        log.warning("%s: snapshot %s has expired; going on from offsets", self._table, position.snapshot_id)
        for partition in sorted(account.offsets):
            condition = f"_kafka_partition = {partition} AND _kafka_offset >= {position.offsets.get(partition, 0)}"
            yield from table.scan(
                row_filter=condition, selected_fields=self._rows.needed(table)
            ).to_arrow_batch_reader()

    def _take(self, client: Client, table: Table, snapshot: Snapshot, batches: Iterator[pa.RecordBatch]) -> int:
        """Insert a snapshot's rows, then record that they are there."""
        inserted = sum(self._insert(client, snapshot, chunk, batch) for chunk, batch in enumerate(batches))
        account = account_of(properties_of(snapshot)) or nearest_account(table)
        if account is None:
            raise RetryableError("the snapshot has no account", where=f"bronze.{self.dataset.name}")
        self._position = LivePosition(snapshot.snapshot_id, account.topic_id, dict(account.offsets))
        write_position(client, self.dataset.name, self._position)
        return inserted

    def _insert(self, client: Client, snapshot: Snapshot, chunk: int, batch: pa.RecordBatch) -> int:
        """Insert one batch under a token that is the same whenever it is sent again; rows sent."""
        rows = self._rows.accepted(batch)
        if rows.num_rows:
            token = f"{self.dataset.name}-{snapshot.snapshot_id}-{chunk}"
            client.insert_arrow(self._table, rows, settings={"insert_deduplication_token": token})
        return int(rows.num_rows)
