-- Keys of products and households are those of the version that held when the basket was paid. What a dimension does
-- not know (17 products of the source, a household that is yet to come) points to its unknown member, so no sale is lost.
SELECT
    s.basket_id,
    s.product_id,
    year(s.transaction_date) * 10000 + month(s.transaction_date) * 100 + day(s.transaction_date) AS date_key,
    coalesce(st.store_key, -1) AS store_key,
    coalesce(p.product_key, repeat('0', 32)) AS product_key,
    coalesce(h.household_key, repeat('0', 32)) AS household_key,
    s.store_id,
    s.household_id,
    s.transaction_timestamp,
    s.transaction_date AS sale_date,
    trunc(s.transaction_date, 'MM') AS sale_month,
    s.week,
    -- The Monday at whose first hours (US Eastern midnight, 04:00 or 05:00 UTC) the source's week ends.
    date_add(DATE'2016-12-26', 7 * s.week) AS week_end,
    s.quantity,
    s.sales_value,
    s.retail_disc,
    s.coupon_disc,
    s.coupon_match_disc
FROM silver.transactions AS s
LEFT JOIN gold.dim_store AS st ON st.store_id = s.store_id
LEFT JOIN gold.dim_product AS p
    ON p.product_id = s.product_id
    AND p.valid_from <= s.transaction_timestamp
    AND s.transaction_timestamp < p.valid_to
LEFT JOIN gold.dim_household AS h
    ON h.household_id = s.household_id
    AND h.valid_from <= s.transaction_timestamp
    AND s.transaction_timestamp < h.valid_to
