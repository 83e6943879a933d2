"""Replay and discard: what is in quarantine is tried again, and what can be read and passes lands in bronze, once.

A repaired record becomes a row at the place it came from (topic, topic id, partition, offset) with the next `_attempt`
and its time of arrival, so that it lies in the partition of the row it repairs and rules judge it as they did before.
All rows of a replay come in one snapshot, whose summary names the replay (`headwater.replay`) and has no account: the
stream's own goes on from the nearest ancestor that has one, and only first attempts count for offsets.

Once, however often: under bronze's table lock, only what is in quarantine *now* is tried, and a place whose row landed
is not, by what bronze itself holds. What was tried is noted before the commit and after it (see `attempts`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table

from headwater.contracts.avro import avro_schema
from headwater.contracts.layers import OFFSET, PARTITION
from headwater.contracts.model import Dataset
from headwater.contracts.registry import RegistryClient
from headwater.contracts.releases import releases
from headwater.errors import TerminalError
from headwater.lake.batches import file_batches
from headwater.lake.catalog import get_catalog
from headwater.lake.locks import table_lock
from headwater.streaming import attempts
from headwater.streaming.attempts import ABANDONED, DISCARDED, FAILED, LANDED, PENDING, Run
from headwater.streaming.landing import Landing
from headwater.streaming.patching import Patch, as_json, as_text, read_patch
from headwater.streaming.quarantine import (
    EVERYTHING,
    Quarantined,
    Selection,
    keys_of,
    place_of,
    quarantine_of,
    repaired_places,
)
from headwater.streaming.repair import Repair, Tried, tried
from headwater.streaming.writers import reader_schema

Item = TypeVar("Item")

NAMED_AT_MOST = 200
"""Offsets that a scan names one by one; Iceberg prunes files by no more than these, and the text would be long."""
ROWS_AT_ONCE = 500
"""Rows that are judged together; a record may have a megabyte."""
GONE = "bronze no longer has the row"


@dataclass(frozen=True, slots=True)
class Line:
    """One record and what came of it: `lands` or `fails`, and then why."""

    record: Quarantined
    lands: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay did, or (a dry run) would do. `snapshot_id` is None where nothing landed."""

    run: str
    lines: tuple[Line, ...]
    snapshot_id: int | None = None

    @property
    def landing(self) -> int:
        """How many records land."""
        return sum(line.lands for line in self.lines)


@dataclass(frozen=True, slots=True)
class Means:
    """What is used for repair: a JSON merge patch in a file, another released version of the schema."""

    patch: Path | None = None
    schema_version: int | None = None

    def __str__(self) -> str:
        named = {"patch": self.patch and self.patch.name, "schema version": self.schema_version}
        return ", ".join(f"{name} {value}" for name, value in named.items() if value is not None)


AS_IT_IS = Means()


def replay(
    dataset: Dataset,
    selection: Selection = EVERYTHING,
    means: Means = AS_IT_IS,
    *,
    who: str = "",
    dry_run: bool = False,
) -> Replay:
    """Try these records again. A dry run judges them in the same way, and writes and notes nothing.

    Raises `PatchUnfit`, `TerminalError` for a version that was not released, `RegistryUnavailableError`, `TableLocked`.
    """
    if dataset.captured:
        raise TerminalError(
            "records of a captured table are not replayed: the source still has the rows",
            where=dataset.name,
            remedy=f"correct the contract, then `headwater cdc resnapshot --dataset {dataset.name}`",
        )
    patch = None if means.patch is None else read_patch(means.patch, dataset)
    run = Run(uuid.uuid4().hex, dataset.name, "replay", who, _how(means, patch))
    with nullcontext() if dry_run else table_lock(f"bronze.{dataset.name}", purpose="replay"):
        if not dry_run:
            settle(dataset)
        records = quarantine_of(dataset, selection, measured=False)
        if not records:
            return Replay(run.id, ())
        repair = _repair(dataset, means, patch, records)
        landing = Landing(get_catalog().load_table(f"bronze.{dataset.name}"), run.id)
        lines = []
        for record, one in _tries(repair, landing.table, records):
            lines.append(Line(record, one.row is not None, one.reasons))
            if one.row is not None and not dry_run:
                landing.add(one.row)
        if dry_run:
            return Replay(run.id, tuple(lines))
        attempts.note(run, (_entry(line) for line in lines))
        snapshot_id = landing.commit()
        attempts.landed(run.id, snapshot_id)
        return Replay(run.id, tuple(lines), snapshot_id)


def discard(
    dataset: Dataset, selection: Selection = EVERYTHING, *, why: str, who: str = "", dry_run: bool = False
) -> list[Quarantined]:
    """Put these records aside: they stay in bronze and in the ledger, and are out of quarantine. Returns them."""
    with nullcontext() if dry_run else table_lock(f"bronze.{dataset.name}", purpose="discard"):
        if not dry_run:
            settle(dataset)
        records = quarantine_of(dataset, selection, measured=False)
        if not dry_run:
            run = Run(uuid.uuid4().hex, dataset.name, "discard", who)
            attempts.note(run, ((_place(record, 0), DISCARDED, why) for record in records))
    return records


def export(dataset: Dataset, selection: Selection, output: Path) -> int:
    """Write records as lines of JSON: place, stage, reasons, and `row`, bronze's columns (bytes in hexadecimal).

    Returns how many. `row` is null for one that bronze no longer has.
    """
    records = quarantine_of(dataset, selection, measured=False)
    table = get_catalog().load_table(f"bronze.{dataset.name}") if records else None
    with output.open("w", encoding="utf-8") as file:
        for found in [] if table is None else _found(table, records):
            for record, row in found:
                line = {**asdict(record), "row": None if row is None else {k: as_json(v) for k, v in row.items()}}
                del line["size"], line["headers"]  # the row has them as they are
                file.write(json.dumps(line, default=str, ensure_ascii=False) + "\n")
    return len(records)


def settle(dataset: Dataset) -> None:
    """Find out what became of replays that were killed: bronze has the row, or it never will. Needs the lock."""
    if left := attempts.pending(dataset.name):
        there = repaired_places(dataset)
        attempts.settle([(number, LANDED if place in there else ABANDONED) for number, place in left])


def _how(means: Means, patch: Patch | None) -> str:
    return str(means) + (f": {as_text(patch)}" if patch is not None else "")


def _repair(dataset: Dataset, means: Means, patch: Patch | None, records: Sequence[Quarantined]) -> Repair:
    """The schemas are asked for only where there are bytes to decode."""
    contract = avro_schema(dataset)
    if means.schema_version is not None:
        known = {release.version: release.schema for release in releases(dataset)}
        if means.schema_version not in known:
            raise TerminalError(
                f"version {means.schema_version} of its schema was not released",
                where=dataset.name,
                remedy=f"there are: {', '.join(map(str, known)) or 'none'}",
            )
        return Repair(dataset, contract, chosen=known[means.schema_version], patch=patch)
    if all(record.stage == "rule" for record in records):
        return Repair(dataset, contract, patch=patch)
    with RegistryClient() as registry:
        writers = registry.ids(dataset.subject)
    return Repair(dataset, reader_schema(contract, writers), writers, patch=patch)


def _tries(repair: Repair, table: Table, records: Sequence[Quarantined]) -> Iterator[tuple[Quarantined, Tried]]:
    """Each record and what came of it."""
    schema = schema_to_pyarrow(table.schema(), include_field_ids=False)
    for found in _found(table, records):
        rows = [row for _, row in found if row is not None]
        outcomes = iter(tried(repair, rows, schema))
        yield from ((record, Tried(None, (GONE,)) if row is None else next(outcomes)) for record, row in found)


def _found(table: Table, records: Sequence[Quarantined]) -> Iterator[list[tuple[Quarantined, dict[str, Any] | None]]]:
    """Each record with its row of bronze, None where it is gone; the bytes of so many at a time are in memory."""
    wanted = {place_of(record): record for record in records}
    for partition in sorted({record.partition for record in records}):
        offsets = {record.offset for record in records if record.partition == partition}
        for batch in _rows_at(table, partition, offsets):
            chosen = {key: number for number, key in enumerate(keys_of(batch)) if key in wanted}
            for some in _batched(chosen.items(), ROWS_AT_ONCE):
                rows = batch.take(pa.array([number for _, number in some], pa.int64())).to_pylist()
                yield [(wanted.pop(key), row) for (key, _), row in zip(some, rows, strict=True)]
    yield [(record, None) for record in wanted.values()]


def _rows_at(table: Table, partition: int, offsets: set[int]) -> Iterator[pa.RecordBatch]:
    place = f"{PARTITION} = {partition} AND {OFFSET} >= {min(offsets)} AND {OFFSET} <= {max(offsets)}"
    if len(offsets) <= NAMED_AT_MOST:
        place += f" AND {OFFSET} IN ({', '.join(map(str, sorted(offsets)))})"
    scan = table.scan(row_filter=place)
    return (batch for _, batch in file_batches(scan))


def _entry(line: Line) -> tuple[attempts.Place, str, str]:
    """Where it lands, the attempt is that of the new row; a failed one makes no row, and is about the one there is."""
    place = _place(line.record, 1 if line.lands else 0)
    return place, PENDING if line.lands else FAILED, "; ".join(line.reasons)


def _place(record: Quarantined, further: int) -> attempts.Place:
    return (record.topic, record.topic_id, record.partition, record.offset, record.attempt + further)


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of so many (`itertools.batched` is of Python 3.12)."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some
