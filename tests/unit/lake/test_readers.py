"""Who holds a table's snapshots back, from summaries alone."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from tests.unit.lake.tables import append, new_catalog

from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Dataset
from headwater.lake.maintenance import expiry_limit
from headwater.lake.readers import BEGINNING, COMMITTED_WITHIN, Reader, Unread, readers_of, unread
from headwater.lake.snapshots import INPUT_OFFSETS_PREFIX, MODEL_KEY, input_properties

SCHEMA = pa.schema([("id", pa.int64())])
DATASET = dataclasses.replace(load_dataset("stores"), name="t")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return new_catalog(tmp_path)


@pytest.mark.parametrize("layer", ["silver", "gold"])
def test_a_derived_table_needs_its_own_last_position(catalog: Catalog, layer: str) -> None:
    name = f"{layer}.t"
    table = catalog.create_table(name, SCHEMA)
    append(table, [1], **input_properties({"bronze.t": 5}))
    position = append(table, [2], **input_properties({"bronze.t": 6}))
    append(table, [3], other="maintenance")
    readers = readers_of(catalog, DATASET, name)
    assert readers == [Reader(name, position)]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    limit, held_by = expiry_limit(table, readers, tomorrow)
    snapshot = table.metadata.snapshot_by_id(position)
    assert snapshot is not None
    assert (int(limit.timestamp() * 1000), held_by) == (snapshot.timestamp_ms, name)


def test_each_kind_of_position_counts(catalog: Catalog) -> None:
    table = catalog.create_table("gold.t", SCHEMA)
    model = append(table, [1], **{MODEL_KEY: "f"})
    offsets = append(table, [2], **{f"{INPUT_OFFSETS_PREFIX}bronze.t": "{}"})
    inputs = append(table, [3], **input_properties({"silver.t": 6}))
    append(table, [4])
    assert {r.snapshot_id for r in readers_of(catalog, DATASET, "gold.t")} == {model, offsets, inputs}


def test_what_was_refused_once_holds_nothing_back(catalog: Catalog) -> None:
    read = append(catalog.create_table("bronze.t", SCHEMA), [1])
    append(catalog.create_table("silver.t_refused", SCHEMA), [1], **input_properties({"bronze.t": read}))
    assert readers_of(catalog, DATASET, "bronze.t") == []


def test_readers_further_down_count_as_before(catalog: Catalog) -> None:
    read = append(catalog.create_table("silver.t", SCHEMA), [1])
    append(catalog.create_table("gold.m", SCHEMA), [1], **input_properties({"silver.t": read}))
    assert readers_of(catalog, DATASET, "silver.t") == [Reader("gold.m", read)]


def test_a_table_that_nothing_was_built_into_holds_nothing(catalog: Catalog) -> None:
    append(catalog.create_table("silver.t", SCHEMA), [1])
    assert readers_of(catalog, DATASET, "silver.t") == []


def test_rows_that_silver_never_read_are_unread_from_the_beginning(catalog: Catalog) -> None:
    table = catalog.create_table("bronze.t", SCHEMA)
    append(table, [1])
    everything = Unread(BEGINNING, "silver.t")
    assert unread(table, DATASET, []) == everything
    assert unread(table, DATASET, [Reader("gold.m", table.current_snapshot().snapshot_id)]) == everything
    assert unread(table, DATASET, [Reader("silver.t", 7)]) == everything, "its place has been forgotten"


def test_rows_are_read_as_far_as_the_slowest_reader_has_come(catalog: Catalog) -> None:
    table = catalog.create_table("bronze.t", SCHEMA)
    first, second, third = append(table, [1]), append(table, [2]), append(table, [3])
    readers = [Reader("stream", first), Reader("silver.t", third), Reader("live", second)]
    since = datetime.fromtimestamp(table.snapshot_by_id(second).timestamp_ms / 1000, UTC) - COMMITTED_WITHIN
    assert unread(table, DATASET, readers) == Unread(since, "live"), "the stream's own place is no reader's"


@pytest.mark.parametrize(
    ("ttl", "by"), [(30, None), (90, None), (91, "live"), (None, "live")], ids=["shorter", "as long", "longer", "ever"]
)
def test_a_live_table_that_was_never_filled_waits_for_what_it_would_keep(
    catalog: Catalog, ttl: int | None, by: str | None
) -> None:
    table = catalog.create_table("bronze.t", SCHEMA)
    found = unread(table, streamed(ttl), [Reader("silver.t", append(table, [1]))])
    assert found is not None
    assert (found.since == BEGINNING, found.by) == (by is not None, by or "silver.t")


def streamed(ttl: int | None) -> Dataset:
    """A stream with a live table that keeps rows for so many days, and bronze for 90."""
    stream = load_dataset("transactions")
    assert stream.live is not None
    live = dataclasses.replace(stream.live, ttl_days=ttl)
    return dataclasses.replace(stream, name="t", live=live, retention_days={"bronze": 90})
