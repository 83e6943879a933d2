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
from headwater.lake.maintenance import expiry_limit
from headwater.lake.readers import Reader, readers_of
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
