WITH targets AS (
    SELECT campaign_id, count(*) AS households_targeted
    FROM silver.campaign_households
    WHERE NOT _is_deleted
    GROUP BY campaign_id
),
offers AS (
    SELECT
        campaign_id,
        count(DISTINCT coupon_upc) AS coupons_offered,
        count(DISTINCT product_id) AS products_offered
    FROM silver.coupons
    WHERE NOT _is_deleted
    GROUP BY campaign_id
)
SELECT
    c.campaign_id AS campaign_key,
    c.campaign_id,
    c.campaign_type,
    c.start_date,
    c.end_date,
    datediff(c.end_date, c.start_date) + 1 AS duration_days,
    coalesce(t.households_targeted, 0) AS households_targeted,
    coalesce(o.coupons_offered, 0) AS coupons_offered,
    coalesce(o.products_offered, 0) AS products_offered
FROM silver.campaigns AS c
LEFT JOIN targets AS t ON t.campaign_id = c.campaign_id
LEFT JOIN offers AS o ON o.campaign_id = c.campaign_id
WHERE NOT c._is_deleted
