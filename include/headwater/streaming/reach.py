"""How far a stream's offsets have come: bronze, silver, gold, the warehouse, the live table.

Silver's summaries name the next offsets it has read; gold's name the snapshots of its inputs, the warehouse's those of
gold it shows. So each is followed back, snapshot by snapshot, to offsets of the topic. Nothing is counted or read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Dataset, Kind
from headwater.errors import RetryableError
from headwater.lake.catalog import get_catalog
from headwater.lake.event_time import EventTime, event_time
from headwater.lake.snapshots import INPUT_OFFSETS_PREFIX, INPUT_PREFIX, ancestry, properties_of
from headwater.streaming.accounting import streams
from headwater.streaming.ledger import Offsets, nearest_account

Position = tuple[str, Offsets]
"""A topic's id, and the next offset per partition."""


STAGES = ("silver", "gold", "warehouse", "live")


@dataclass(frozen=True, slots=True)
class PartitionReach:
    """The next offset at each stage: everything before it is there. None: nothing is, or nobody can say.

    `gold` and `warehouse` are those of the model, and of the table, that is furthest behind; `live` is the live table.
    """

    partition: int
    bronze: int
    silver: int | None
    gold: int | None
    warehouse: int | None
    live: int | None


@dataclass(frozen=True, slots=True)
class StreamReach:
    """One stream; `reason` says why the warehouse could not be asked.

    `newest_event` is the latest that silver has accepted; `late` counts the events that came behind the watermark of
    their time, by how late they were (see `lake.lateness`).
    """

    dataset: str
    topic: str
    topic_id: str
    partitions: tuple[PartitionReach, ...]
    reason: str = ""
    newest_event: datetime | None = None
    late: Mapping[str, int] = field(default_factory=dict)


def reaches(names: Sequence[str] = ()) -> list[StreamReach]:
    """How far these streams (default: all) have come, of those that have read anything."""
    models = load_contracts().of_kind(Kind.MODEL)
    found = (reach_of(dataset, models) for dataset in streams(names))
    return [one for one in found if one is not None]


def reach_of(dataset: Dataset, models: Iterable[Dataset]) -> StreamReach | None:
    """How far one stream has come, through those of the models that derive from it; None where nothing was read."""
    catalog = get_catalog()
    bronze = f"bronze.{dataset.name}"
    account = nearest_account(catalog.load_table(bronze)) if catalog.table_exists(bronze) else None
    if account is None:
        return None
    deriving = derived(dataset.name, models)
    walk = _Walk(catalog, dataset.name, {f"gold.{model.name}" for model in deriving})
    stages: dict[str, list[Position | None]] = {
        "silver": [walk.position(f"silver.{dataset.name}")],
        "gold": [walk.position(f"gold.{model.name}") for model in deriving],
    }
    reason = ""
    try:
        stages |= _in_clickhouse(dataset, deriving, walk.position)
    except RetryableError as error:
        reason = str(error)
    partitions = [
        PartitionReach(p, offset, **{stage: _next(stages.get(stage, []), account.topic_id, p) for stage in STAGES})
        for p, offset in sorted(account.offsets.items())
    ]
    silver = f"silver.{dataset.name}"
    events = event_time(catalog.load_table(silver)) if catalog.table_exists(silver) else EventTime()
    account_of = (dataset.name, dataset.topic, account.topic_id, tuple(partitions), reason)
    return StreamReach(*account_of, events.newest, events.late)


def derived(name: str, models: Iterable[Dataset]) -> list[Dataset]:
    """The models that read the dataset, directly or through others."""
    left, found, known = list(models), list[Dataset](), {name}
    while more := [model for model in left if known & {*model.spread}]:
        found += more
        known |= {model.name for model in more}
        left = [model for model in left if model not in more]
    return found


class _Walk:
    """Follows tables back to offsets of one stream."""

    def __init__(self, catalog: Catalog, stream: str, deriving: set[str]) -> None:
        self._catalog = catalog
        self._silver = f"silver.{stream}"
        self._key = f"{INPUT_OFFSETS_PREFIX}bronze.{stream}"
        self._deriving = deriving | {self._silver}
        self._tables: dict[str, Table | None] = {}

    def position(self, name: str, snapshot_id: int | None = None) -> Position | None:
        """Up to where the table, at that snapshot or now, has the stream; None where nothing says."""
        table = self._table(name)
        if table is None:
            return None
        if name == self._silver:
            told = _nearest(table, snapshot_id, self._key)
            return _parsed(told[self._key]) if told else None
        inputs = {k.removeprefix(INPUT_PREFIX): int(v) for k, v in _nearest(table, snapshot_id, INPUT_PREFIX).items()}
        return _least([self.position(i, at) for i, at in inputs.items() if i in self._deriving])

    def _table(self, name: str) -> Table | None:
        if name not in self._tables:
            self._tables[name] = self._catalog.load_table(name) if self._catalog.table_exists(name) else None
        return self._tables[name]


def _in_clickhouse(
    dataset: Dataset, models: Iterable[Dataset], position: Callable[[str, int], Position | None]
) -> dict[str, list[Position | None]]:
    """Positions of the models' tables and of the live table. Raises `RetryableError` where ClickHouse is down."""
    from headwater.streaming.live_tables import read_position
    from headwater.warehouse.client import explained, writer
    from headwater.warehouse.ddl import table_uuid
    from headwater.warehouse.state import LOADS, last_snapshots

    with explained(LOADS):
        client = writer()
        try:
            loads = last_snapshots(client) if client.command(f"EXISTS TABLE {LOADS}") else {}
            shown: list[Position | None] = []
            for model in models:
                if model.warehouse is not None:
                    snapshot, table = loads.get(model.name, (0, ""))
                    there = bool(table) and table == table_uuid(client, model.warehouse.database, model.name)
                    shown.append(position(f"gold.{model.name}", snapshot) if there else None)
            exists = dataset.live is not None and client.command("EXISTS TABLE platform.live_positions")
            live = read_position(client, dataset.name) if exists else None
        finally:
            client.close()
    return {"warehouse": shown, "live": [None if live is None else (live.topic_id, live.offsets)]}


def _nearest(table: Table, snapshot_id: int | None, prefix: str) -> dict[str, str]:
    """The keys with this prefix, of the nearest ancestor that has any."""
    for snapshot in ancestry(table, start=snapshot_id):
        if told := {key: value for key, value in properties_of(snapshot).items() if key.startswith(prefix)}:
            return told
    return {}


def _parsed(text: str) -> Position:
    told = json.loads(text)
    return str(told["topic_id"]), {int(partition): int(offset) for partition, offset in told["offsets"].items()}


def _least(positions: Sequence[Position | None]) -> Position | None:
    """Per partition the smallest offset; None where one is not known, or they are of different topics."""
    known = [position for position in positions if position is not None]
    if len(known) < len(positions) or len({topic_id for topic_id, _ in known}) != 1:
        return None
    partitions = {partition for _, offsets in known for partition in offsets}
    return known[0][0], {p: min(offsets.get(p, 0) for _, offsets in known) for p in partitions}


def _next(positions: Sequence[Position | None], topic_id: str, partition: int) -> int | None:
    """The next offset at the one that is furthest behind, if all are known to be of that topic."""
    least = _least(positions)
    return None if least is None or least[0] != topic_id else least[1].get(partition, 0)
