"""A few dated changes of the source, so that households and products have a history (SCD2).

Forty households move up an income band, twenty-five products change category. Which ones follows from the data alone,
and each is applied once: a row that has changed on or after that day is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from headwater.sources import completejourney
from headwater.sources.postgres import SCHEMA, connect

# Without a zone, as the source keeps them: UTC.
INCOME_MOVED_AT = datetime(2017, 6, 15)
CATEGORY_MOVED_AT = datetime(2017, 9, 1)
HOUSEHOLDS, PRODUCTS = 40, 25

INCOME_BANDS = (
    "Under 15K",
    "15-24K",
    "25-34K",
    "35-49K",
    "50-74K",
    "75-99K",
    "100-124K",
    "125-149K",
    "150-174K",
    "175-199K",
    "200-249K",
    "250K+",
)


@dataclass(frozen=True, slots=True)
class Change:
    """One column of one row gets a new value at a time."""

    table: str
    key: int
    column: str
    old: str
    new: str
    at: datetime


def planned_changes() -> list[Change]:
    """All changes, in a fixed order, from the package's files alone."""
    return [*_income_changes(), *_category_changes()]


def _income_changes() -> Iterator[Change]:
    """The households of the lowest numbers that have a known income below the highest band."""
    table = completejourney.read("demographics", ["household_id", "income"]).sort_by("household_id")
    moved = table.filter(pc.is_in(table["income"], value_set=pa.array(INCOME_BANDS[:-1])))
    for row in moved.slice(0, HOUSEHOLDS).to_pylist():
        new = INCOME_BANDS[INCOME_BANDS.index(row["income"]) + 1]
        yield Change("households", row["household_id"], "income", row["income"], new, INCOME_MOVED_AT)


def _category_changes() -> Iterator[Change]:
    """The best-selling products (by lines) go to the category that follows theirs in the department's alphabet."""
    products = completejourney.read("products", ["product_id", "department", "product_category"])
    known = products.filter(pc.is_valid(products["product_category"]))
    categories: dict[str, list[str]] = {}
    for department, category in sorted(set(zip(*(known[c].to_pylist() for c in known.column_names[1:]), strict=True))):
        categories.setdefault(department, []).append(category)
    sold = completejourney.read("transactions", ["product_id"])["product_id"].value_counts()
    lines = {row["values"]: row["counts"] for row in sold.to_pylist()}
    rows = [row for row in known.to_pylist() if len(categories[row["department"]]) > 1]
    rows.sort(key=lambda row: (-lines.get(row["product_id"], 0), row["product_id"]))
    for row in rows[:PRODUCTS]:
        siblings = categories[row["department"]]
        old = row["product_category"]
        new = siblings[(siblings.index(old) + 1) % len(siblings)]
        yield Change("products", row["product_id"], "product_category", old, new, CATEGORY_MOVED_AT)


_KEYS = {"households": "household_id", "products": "product_id"}


def apply_changes() -> dict[str, int]:
    """Apply what has not been applied, in one transaction; returns the rows changed per table."""
    changed = dict.fromkeys(_KEYS, 0)
    with connect() as connection, connection.cursor() as cursor:
        for change in planned_changes():
            statement = sql.SQL(
                "UPDATE {table} SET {column} = %s, updated_at = %s WHERE {key} = %s AND updated_at < %s"
            ).format(
                table=sql.Identifier(SCHEMA, change.table),
                column=sql.Identifier(change.column),
                key=sql.Identifier(_KEYS[change.table]),
            )
            cursor.execute(statement, (change.new, change.at, change.key, change.at))
            changed[change.table] += cursor.rowcount
    return changed
