"""Silver's tables as plain Parquet files, straight from the source's files, to try gold models without the pipeline."""

from __future__ import annotations

from pathlib import Path

import duckdb

_MONEY = ", ".join(f"money({c})::DECIMAL(10,2) AS {name}" for c, name in (
    ("sv", "sales_value"), ("rd", "retail_disc"), ("cd", "coupon_disc"), ("cm", "coupon_match_disc")))  # fmt: skip
_OWN = "* EXCLUDE (version_key, valid_from, valid_to, is_current)"
_VERSION = """
    version_key AS _version_key, timezone('UTC', valid_from) AS valid_from, is_current,
    timezone('UTC', if(is_current, TIMESTAMP '9999-12-31', valid_to)) AS valid_to, false AS _is_deleted
"""

TABLES: dict[str, str] = {
    "transactions": f"""
        SELECT basket_id, product_id, household_id, store_id, qty AS quantity, {_MONEY}, week::INT AS week,
               timezone('UTC', ts) AS transaction_timestamp, day AS transaction_date FROM line""",
    "coupon_redemptions": "SELECT household_id, coupon_upc, campaign_id, redemption_date FROM redemption",
    "products": f"SELECT {_OWN}, {_VERSION} FROM product_version",
    "households": f"SELECT {_OWN}, {_VERSION} FROM household_version",
    "stores": """
        SELECT store_id, 'Store ' || store_id AS store_name, false AS _is_deleted
        FROM (SELECT store_id FROM line_file UNION SELECT store_id FROM promotion_file)""",
    "campaigns": """
        SELECT campaign_id, campaign_type, start_date::DATE AS start_date, end_date::DATE AS end_date,
               false AS _is_deleted FROM campaign""",
    "campaign_households": "SELECT campaign_id, household_id, false AS _is_deleted FROM target",
    "coupons": "SELECT coupon_upc, product_id, campaign_id, false AS _is_deleted FROM coupon",
    "promotions": """
        SELECT product_id, store_id, display_location, mailer_location, week::INT AS week
        FROM promotion""",
}


def write_silver(db: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """One file per table of silver, with the columns that gold reads; `db` comes from `truth.source.connect`."""
    for name, query in TABLES.items():
        (folder / name).mkdir(parents=True)
        db.execute(f"COPY ({query}) TO '{folder / name}/part-0.parquet' (FORMAT parquet, COMPRESSION zstd)")
