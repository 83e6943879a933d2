"""What every gold table must hold, computed by DuckDB from the source's files alone.

Each query of `queries/` is written apart from the platform's models and in another manner: money in whole cents,
rounding in whole numbers, joins where the models use windows and the other way round.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from tests.truth.comparison import differences
from tests.truth.source import Part, connect

QUERIES = Path(__file__).parent / "queries"

KEYS: dict[str, tuple[str, ...]] = {
    "dim_date": ("date_key",),
    "dim_store": ("store_key",),
    "dim_product": ("product_key",),
    "dim_household": ("household_key",),
    "dim_campaign": ("campaign_key",),
    "fct_sales": ("basket_id", "product_id"),
    "mart_finance_daily_revenue": ("sale_date",),
    "mart_finance_discounts": ("sale_date", "department", "brand"),
    "mart_finance_coupon_cost": ("sale_date", "department", "manufacturer_id"),
    "mart_marketing_rfm": ("household_id",),
    "mart_marketing_campaign_response": ("campaign_id",),
    "mart_marketing_coupon_response": ("campaign_id", "coupon_upc"),
    "mart_operations_store_hours": ("sale_date", "store_id", "hour_of_day"),
    "mart_operations_basket_size": ("sale_date", "basket_size"),
    "mart_operations_product_performance": ("sale_month", "product_id"),
    "mart_operations_promotion_effect": ("week_end", "department", "product_category", "promotion"),
}
"""Every gold table, and what tells its rows apart."""


class Truth:
    """The answers for one part of the data. Reads the files once; ask it for as many tables as you like."""

    def __init__(self, part: Part | None = None) -> None:
        """Take this part of the source's data; all of it, and no dated changes, by default."""
        self.source = connect(part or Part())

    def expected(self, name: str) -> pa.Table:
        """The rows that gold table `name` must hold, in any order."""
        return self.source.sql((QUERIES / f"{name}.sql").read_text()).to_arrow_table()

    def differences(self, name: str, actual: pa.Table) -> list[str]:
        """How `actual` differs from what gold table `name` must hold; empty where it does not."""
        return differences(actual, self.expected(name), KEYS[name])


def expected(name: str, transactions_filter: str = "true") -> pa.Table:
    """The rows that gold table `name` must hold when these transactions, and no dated changes, came in."""
    return Truth(Part(transactions=transactions_filter)).expected(name)
