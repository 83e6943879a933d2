"""What is committed to bronze follows into ClickHouse's `live.<dataset>` within seconds.

The follower reads the files that append snapshots added after its own recorded position, and records the position in
ClickHouse after the insert; without a position it begins with all of bronze. When it dies between the two, the same
rows are sent again: under the same token, which ClickHouse forgets as a repeat, and into a ReplacingMergeTree, which
collapses them if the token is forgotten too. Records that could not be read and rows that break an ERROR rule stay out.
When ClickHouse is down, bronze goes on and the follower catches up later.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import DataScan, IncrementalAppendScan, Table
from pyiceberg.table.snapshots import Snapshot

from headwater.contracts.layers import ATTEMPT, INGESTED_AT, OFFSET, PARTITION
from headwater.contracts.loader import load_file
from headwater.contracts.model import Dataset
from headwater.contracts.warehouse import is_applied
from headwater.errors import ContractError, HeadwaterError, RetryableError, TerminalError
from headwater.lake.batches import file_batches
from headwater.lake.catalog import get_catalog
from headwater.lake.snapshots import ancestry, operation_of, properties_of
from headwater.settings import get_settings
from headwater.streaming import crash
from headwater.streaming.ledger import nearest_account
from headwater.streaming.live_rows import LiveRows
from headwater.streaming.live_tables import (
    LivePosition,
    PositionTaken,
    ensure_tables,
    live_uuid,
    make_views,
    read_position,
    valid_token,
    write_position,
)
from headwater.streaming.live_views import LiveView, views_of
from headwater.warehouse.client import explained, writer

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

Scan = DataScan | IncrementalAppendScan

POLL_SECONDS = 1.0
ROWS_PER_STEP = 250_000
"""A follower that is behind takes so many rows or more before it records how far it has come."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0


class LiveFollower:
    """Takes one stream's bronze into its live table.

    `state` is for the heartbeat, `passes` counts how often it has caught up. Positions are recorded for the writer with
    `token`; 0 is a follower by hand, which takes the one that is valid when it begins.
    """

    def __init__(self, dataset: Dataset, token: int = 0) -> None:
        if dataset.live is None:
            raise TerminalError("the contract declares no live table", where=str(dataset.path))
        self.dataset = dataset
        self.token = token
        self.passes = 0
        self.state: dict[str, Any] = {"state": "starting"}
        self.wake = threading.Event()
        self._rows = LiveRows(dataset)
        self._complaint = ""
        self._client: Client | None = None
        self._position: LivePosition | None = None
        self._views: tuple[LiveView, ...] = ()
        self._uuid = ""
        self._claimed = 0
        self._sent: set[str] = set()
        """Tokens of what ClickHouse has taken since the last position: a fill that is cut off goes on, not anew."""

    @property
    def _table(self) -> str:
        return f"live.{self.dataset.name}"

    def follow(self, stopping: threading.Event) -> None:
        """Catch up whenever bronze has something new, until asked to stop; what fails is tried again, ever slower.

        It ends by itself where another writer's follower has taken over.
        """
        pause = FIRST_PAUSE_SECONDS
        while not stopping.is_set():
            self.wake.clear()
            try:
                self.catch_up()
            except PositionTaken as error:
                log.error("%s: %s", self._table, error)
                self.state |= {"state": "fenced", "reason": str(error)}
                self._close()
                return
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
            self._take_up_contract(client)
            if self._views:
                self._views = make_views(client, self._views)
            try:
                table = get_catalog().load_table(f"bronze.{self.dataset.name}")
            except NoSuchTableError:
                return 0  # the stream has never run
            inserted = sum(self._take(client, table, *step) for step in self._steps(table))
        self.state = {"state": "following", "snapshot_id": self._position and self._position.snapshot_id}
        self.passes += 1
        return inserted

    def _connected(self) -> Client:
        if self._client is None:
            client = writer()
            ensure_tables(client, self.dataset)
            self._views = views_of(self.dataset, get_settings().live_views_dir)
            former, self._uuid = self._uuid, live_uuid(client, self.dataset.name)
            if former != self._uuid:
                self._sent.clear()
            self._claimed = self.token or valid_token(client, self.dataset.name)
            self._position = read_position(client, self.dataset.name)
            self._client = client
            if self._position is not None:
                self._record(client, self._position)  # from now on, one of an earlier writer is refused
        return self._client

    def _take_up_contract(self, client: Client) -> None:
        """Go on by a contract that has changed, once `contract apply` has brought the live table up to it.

        Producers may write a new column from then on, and the stream goes on without a restart.
        """
        try:
            declared = load_file(self.dataset.path)
            if declared == self.dataset or declared.name != self.dataset.name or declared.live is None:
                return
            if not is_applied(client, declared, declared.live):
                return
        except ContractError as error:
            if str(error) != self._complaint:
                log.warning("%s: the contract cannot be used, the former goes on: %s", self._table, error)
            self._complaint = str(error)
            return
        log.info("%s: the contract has changed", self._table)
        self.dataset = declared
        self._rows = LiveRows(declared)

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _steps(self, table: Table) -> Iterator[tuple[Snapshot, Scan, str]]:
        """What is yet to be taken, oldest first: up to which snapshot, the rows, and a mark for their tokens."""
        position = self._position
        if position is None:
            yield from self._whole(table, "it has no position")
            return
        unseen: list[Snapshot] = []
        for snapshot in ancestry(table):
            if snapshot.snapshot_id == position.snapshot_id:
                break
            unseen.append(snapshot)
            if snapshot.parent_snapshot_id == position.snapshot_id:
                break
        else:
            yield from self._beyond(table, position)
            return
        appends = [s for s in reversed(unseen) if operation_of(s) == "append" and _added(s)]
        for first, last in together(appends):
            yield last, self._between(table, first, last), ""

    def _between(self, table: Table, first: Snapshot, last: Snapshot) -> Scan:
        """The rows that the appends from `first` up to `last` brought."""
        return table.incremental_append_scan(
            selected_fields=self._rows.needed(table),
            from_snapshot_id_exclusive=first.parent_snapshot_id,
            to_snapshot_id_inclusive=last.snapshot_id,
        )

    def _whole(self, table: Table, reason: str) -> Iterator[tuple[Snapshot, Scan, str]]:
        """All of bronze in one step: the snapshots that brought its oldest rows may have expired long since.

        Days whose rows the live table would drop at once are left out, by whole days, which are bronze's partitions.
        """
        head = table.current_snapshot()
        if head is None:
            return
        log.info("%s: taking all of bronze: %s", self._table, reason)
        scan = table.scan(selected_fields=self._rows.needed(table), snapshot_id=head.snapshot_id)
        days = self.dataset.live.ttl_days if self.dataset.live is not None else None
        if days:
            first_day = datetime.now(UTC).date() - timedelta(days=days)
            scan = scan.filter(f"{INGESTED_AT} >= '{first_day}T00:00:00+00:00'")
        yield head, scan, ""

    def _beyond(self, table: Table, position: LivePosition) -> Iterator[tuple[Snapshot, Scan, str]]:
        """The recorded snapshot has expired: go on from the offsets recorded with it, and with what was replayed."""
        account, head = nearest_account(table), table.current_snapshot()
        if account is None or head is None or account.topic_id != position.topic_id:
            yield from self._whole(table, "the recorded snapshot has expired, and the topic is another")
            return
        log.warning("%s: snapshot %s has expired; going on from offsets", self._table, position.snapshot_id)
        later = [f"({PARTITION} = {p} AND {OFFSET} >= {position.offsets.get(p, 0)})" for p in sorted(account.offsets)]
        condition = " OR ".join([*later, f"{ATTEMPT} > 0"])
        scan = table.scan(row_filter=condition, selected_fields=self._rows.needed(table), snapshot_id=head.snapshot_id)
        yield head, scan, f"-beyond-{position.snapshot_id}"

    def _take(self, client: Client, table: Table, snapshot: Snapshot, scan: Scan, mark: str) -> int:
        """Insert a step's rows, then record that they are there; rows inserted."""
        chunks: Counter[str] = Counter()
        inserted = 0
        for path, batch in file_batches(scan):
            # A file never changes, so the same token means the same rows, in whatever order files come.
            token = f"{self.dataset.name}-{PurePosixPath(path).name}-{chunks[path]}{mark}"
            chunks[path] += 1
            if token not in self._sent:
                inserted += self._insert(client, token, batch)
                self._sent.add(token)
        account = nearest_account(table, snapshot.snapshot_id)  # of a replay's snapshot: that of the batch before it
        if account is None:
            raise RetryableError("the snapshot has no account", where=f"bronze.{self.dataset.name}")
        self._record(client, LivePosition(snapshot.snapshot_id, account.topic_id, dict(account.offsets)))
        self._sent.clear()
        return inserted

    def _insert(self, client: Client, token: str, batch: pa.RecordBatch) -> int:
        """Insert one batch under a token that is the same whenever it is sent again; rows sent."""
        rows = self._rows.accepted(batch)
        if rows.num_rows:
            crash.inserting(client, self._table, rows, token)
            client.insert_arrow(self._table, rows, settings={"insert_deduplication_token": token})
            crash.reached("after-insert")
        return int(rows.num_rows)

    def _record(self, client: Client, position: LivePosition) -> None:
        self._position = position
        crash.reached("before-position")
        try:
            write_position(client, self.dataset.name, position, self._uuid, self._claimed)
        except RetryableError:
            self._close()  # what is known of the table is of another
            raise
        crash.reached("after-position")


def _added(snapshot: Snapshot) -> int:
    """Rows that the snapshot brought."""
    return int(properties_of(snapshot).get("added-records", 0))


def together(appends: Sequence[Snapshot]) -> Iterator[tuple[Snapshot, Snapshot]]:
    """First and last of those that are taken in one step: what a step costs apart from its rows is paid once."""
    start, rows = 0, 0
    for number, snapshot in enumerate(appends):
        rows += _added(snapshot)
        if rows >= ROWS_PER_STEP or number == len(appends) - 1:
            yield appends[start], snapshot
            start, rows = number + 1, 0
