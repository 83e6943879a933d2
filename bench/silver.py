"""Bronze to silver: a first load, and one per cent more on top of histories of 1x, 4x and 16x.

A history of n x is n times as many sales over n times as many months. The addition is always of the same size: new
sales of the last days and a few corrections. If work follows the change, the bytes written and opened, the files
opened and the time stay the same while the history grows.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.measure import Measurement, Timing, timed_tree
from bench.topics import Context
from headwater.contracts.iceberg import ensure_tables
from headwater.contracts.layers import table_names
from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Dataset
from headwater.lake.catalog import get_catalog
from headwater.lake.sessions import get_spark
from headwater.lake.silver import build

TIMES = (1, 4, 16)
SHARE = 0.01
CORRECTIONS = 0.02
"""Share of the added rows that correct a sale that is there."""
ROWS_A_DAY = 4_000
"""As many as the real data has."""
LARGEST_UNIT = 250_000
FIRST_DAY = "TIMESTAMP'2017-01-01 00:00:00'"
SALE = f"""
    concat(cast(id AS string), '-1') AS event_id, 'sale' AS event_type,
    {FIRST_DAY} + make_interval(0, 0, 0, cast(id / {ROWS_A_DAY} AS int), 0, 0, id % 86400) AS event_timestamp,
    'pos' AS source_system, 1 AS schema_version, id % 2469 AS household_id, id % 457 AS store_id,
    31198437603 + id AS basket_id, id * 7919 % 92331 AS product_id, {{pieces}}L AS quantity,
    cast(id % 1000 / 100 AS decimal(10,2)) AS sales_value, cast(0 AS decimal(10,2)) AS retail_disc,
    cast(0 AS decimal(10,2)) AS coupon_disc, cast(0 AS decimal(10,2)) AS coupon_match_disc, 1 AS week"""
PLACE = """
    'bench' AS _kafka_topic, 'bench' AS _kafka_topic_id,
    cast(id % 4 AS int) AS _kafka_partition, {offset} AS _kafka_offset, cast(null AS binary) AS _kafka_key,
    now() AS _kafka_timestamp, 1 AS _schema_id, 'pos' AS _source_system,
    now() AS _ingested_at, cast(null AS string) AS _record_hash, 0 AS _attempt, cast(null AS string) AS _error,
    cast(null AS binary) AS _raw, cast(null AS string) AS _headers"""


def measure_silver(context: Context) -> list[Measurement]:
    """First loads and additions, one pair of lines per size of history."""
    unit = min(context.rows, LARGEST_UNIT)
    _once(unit, 1, warm=True)
    return [line for times in TIMES for line in _once(unit, times)]


def _once(unit: int, times: int, *, warm: bool = False) -> list[Measurement]:
    """One history of `times` units and its addition; the tables are gone afterwards."""
    catalog = get_catalog()
    dataset = dataclasses.replace(load_dataset("transactions"), name=f"bench_silver_{times}x")
    ensure_tables(catalog, dataset)
    try:
        history = 10_000 if warm else unit * times
        _arrive(dataset, f"range({history})", "id", pieces=1)
        first, timing = _timed(dataset)
        added = max(int(unit * SHARE), 100)
        corrections = int(added * CORRECTIONS)
        _arrive(dataset, f"range({history - corrections}, {history - corrections + added})", f"id + {added}", pieces=2)
        second, later = _timed(dataset)
        return [
            timing.of(f"silver, first load, {times}x", history, **_notes(first)),
            later.of(f"silver, 1% of 1x added to {times}x", added, **_notes(second)),
        ]
    finally:
        for name in table_names(dataset):
            catalog.purge_table(name)


def _arrive(dataset: Dataset, numbers: str, offset: str, *, pieces: int) -> None:
    columns = f"{SALE.format(pieces=pieces)}, {PLACE.format(offset=offset)}"
    rows = get_spark("bench silver").sql(f"SELECT {columns} FROM {numbers}")
    rows.writeTo(f"lake.bronze.{dataset.name}").append()


def _timed(dataset: Dataset) -> tuple[dict[str, Any], Timing]:
    with timed_tree() as timing:
        result = build(get_spark("bench silver"), get_catalog(), dataset)
    return result, timing


def _notes(result: dict[str, Any]) -> dict[str, Any]:
    names = ("files_opened", "files_total", "bytes_opened", "bytes_written", "rows_deleted")
    return {name: result[name] for name in names if name in result}
