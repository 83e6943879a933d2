"""Whether a soak held: the ledger, and silver and the live table beside what follows from the events' numbers."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from bench import clicks
from bench.clicks import BROKEN_EVERY, Offer
from bench.soak_upkeep import job
from headwater.lake.catalog import get_catalog
from headwater.warehouse.client import writer

COLUMNS = ("event_id", "number", "visitor", "amount", "page", "event_timestamp", "click_date", "campaign")


def judged(offer: Offer) -> dict[str, Any]:
    """What each layer has; `held` where all of it is as it must be."""
    ledger = json.loads(clicks.run("ledger", "--topic", clicks.TOPIC, "--verify", "--json"))
    last_build = job("build_silver")
    broken = sum(map(clicks.is_broken, range(offer.next)))
    expected = offer.next - broken
    silver, live = _silver(offer), _live(offer)
    whole = {"rows": expected, "distinct": expected, "differing": 0}
    quarantined = sum(line["quarantined"] for stream in ledger["streams"] for line in stream["partitions"])
    held = ledger["unaccounted"] == 0 and quarantined == broken and silver == live == whole
    return {
        "held": held,
        "unaccounted": ledger["unaccounted"],
        "expected": expected,
        "broken": broken,
        "quarantined": quarantined,
        "silver": silver,
        "clickhouse": live,
        "last_silver_build": {key: last_build[key] for key in ("mode", "rows", "seconds")},
        "ledger": ledger,
    }


def _silver(offer: Offer) -> dict[str, int]:
    """Rows of silver, how many numbers they have, and how many of them are not what follows from their number."""
    silver = get_catalog().load_table(f"silver.{clicks.NAME}").scan(selected_fields=COLUMNS).to_arrow_batch_reader()
    [found] = duckdb.sql(
        f"""
        SELECT count(*), count(DISTINCT number), count(*) FILTER (
            event_id IS DISTINCT FROM 'click-' || number OR visitor IS DISTINCT FROM number % {clicks.VISITORS}
            OR amount IS DISTINCT FROM ((number % 1000) / 100.0)::DECIMAL(10, 2)
            OR page IS DISTINCT FROM 'p' || number % {clicks.PAGES}
            OR campaign IS DISTINCT FROM CASE WHEN number >= {_first_of_second(offer)} THEN 'c' || number % 7 END
            OR number NOT BETWEEN 0 AND {offer.next - 1} OR number % {BROKEN_EVERY} = 7
            OR click_date IS DISTINCT FROM (event_timestamp AT TIME ZONE 'UTC')::DATE
            OR NOT abs(epoch(event_timestamp) - ({offer.begin!r} + number / {offer.rate}::DOUBLE)) <= 0.001)
        FROM silver
        """,
    ).fetchall()
    assert silver is not None  # DuckDB reads it by its name
    return dict(zip(("rows", "distinct", "differing"), found, strict=True))


def _live(offer: Offer) -> dict[str, int]:
    """The same of the live table, where a row that came twice has collapsed."""
    second = _first_of_second(offer)
    with writer() as client:
        [found] = client.query(
            f"""
            SELECT count(), uniqExact(number), countIf(
                visitor != number % {clicks.VISITORS} OR amount != toDecimal64(number % 1000, 2) / 100
                OR page != concat('p', toString(number % {clicks.PAGES})) OR number < 0 OR number >= {offer.next}
                OR ifNull(campaign, '') != if(number >= {second}, concat('c', toString(number % 7)), '')
                OR number % {BROKEN_EVERY} = 7)
            FROM live.{clicks.NAME} FINAL
            """
        ).result_rows
    return dict(zip(("rows", "distinct", "differing"), map(int, found), strict=True))


def _first_of_second(offer: Offer) -> int:
    """The first event that was written with the second version of the schema."""
    return offer.versions.get(2, offer.next)


def slowest_by_minute(offer: Offer, delays: npt.NDArray[np.float64]) -> list[float]:
    """Of the events due in each minute, the longest time until ClickHouse had one: whether a lag grows."""
    numbers = np.concatenate([np.arange(p, offer.next, clicks.PARTITIONS) for p in range(clicks.PARTITIONS)])
    minutes = numbers // (offer.rate * 60)
    slowest = np.zeros(int(minutes.max()) + 1)
    np.maximum.at(slowest, minutes, delays)
    return [round(float(seconds), 1) for seconds in slowest]
