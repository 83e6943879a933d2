"""Three questions of the business, answered by ClickHouse from gold at the end of `make demo`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """A question as somebody would ask it, and the query that a BI tool would send."""

    question: str
    sql: str


ANSWERS = (
    Answer(
        "Which households bring the revenue, and which are we about to lose?",
        """
        SELECT segment, count() AS households, sum(monetary) AS sales,
               round(100 * toFloat64(sales) / sum(toFloat64(sum(monetary))) OVER (), 1) AS share_percent,
               round(avg(recency_days)) AS days_since_last_purchase
        FROM gold.mart_marketing_rfm
        GROUP BY segment
        ORDER BY sales DESC
        """,
    ),
    Answer(
        "What did coupons cost in each department, and who bears it?",
        """
        SELECT department, sum(coupon_disc) AS borne_by_manufacturers, sum(coupon_match_disc) AS borne_by_retailer,
               sum(coupon_cost) AS total
        FROM gold.mart_finance_coupon_cost
        GROUP BY department
        ORDER BY total DESC
        LIMIT 5
        """,
    ),
    Answer(
        "In which categories does a product sell more while it is on display?",
        """
        WITH sumIf(product_store_weeks, promotion = 'display') AS weeks_on_display,
             sumIf(product_store_weeks, promotion = 'none') AS weeks_without
        SELECT product_category,
               round(sumIf(toFloat64(sales_value), promotion = 'none') / weeks_without, 2) AS weekly_sales_without,
               round(sumIf(toFloat64(sales_value), promotion = 'display') / weeks_on_display, 2) AS weekly_on_display,
               round(100 * (weekly_on_display / weekly_sales_without - 1)) AS uplift_percent
        FROM gold.mart_operations_promotion_effect
        GROUP BY product_category
        HAVING weeks_on_display >= 500 AND weeks_without >= 500
        ORDER BY uplift_percent DESC, product_category
        LIMIT 5
        """,
    ),
)
