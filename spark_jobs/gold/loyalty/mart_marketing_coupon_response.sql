WITH covered AS (
    -- Products a coupon covers, by the department they are in today.
    SELECT o.campaign_id, o.coupon_upc, coalesce(p.department, 'Unknown') AS department, count(*) AS products
    FROM silver.coupons AS o
    LEFT JOIN gold.dim_product AS p ON p.product_id = o.product_id AND p.is_current
    WHERE NOT o._is_deleted
    GROUP BY o.campaign_id, o.coupon_upc, coalesce(p.department, 'Unknown')
),
ranked AS (
    SELECT
        *,
        sum(products) OVER (PARTITION BY campaign_id, coupon_upc) AS products_covered,
        row_number() OVER (PARTITION BY campaign_id, coupon_upc ORDER BY products DESC, department) AS place
    FROM covered
),
redeemed AS (
    SELECT
        campaign_id,
        coupon_upc,
        count(*) AS redemptions,
        count(DISTINCT household_id) AS households_redeeming,
        min(redemption_date) AS first_redemption_date,
        max(redemption_date) AS last_redemption_date
    FROM silver.coupon_redemptions
    GROUP BY campaign_id, coupon_upc
),
coupons AS (
    -- FULL, so that a redeemed coupon counts though it is missing from the list of coupons.
    SELECT
        coalesce(o.campaign_id, r.campaign_id) AS campaign_id,
        coalesce(o.coupon_upc, r.coupon_upc) AS coupon_upc,
        coalesce(o.department, 'Unknown') AS main_department,
        coalesce(o.products_covered, 0) AS products_covered,
        coalesce(r.redemptions, 0) AS redemptions,
        coalesce(r.households_redeeming, 0) AS households_redeeming,
        r.first_redemption_date,
        r.last_redemption_date
    FROM (SELECT * FROM ranked WHERE place = 1) AS o
    FULL OUTER JOIN redeemed AS r ON r.campaign_id = o.campaign_id AND r.coupon_upc = o.coupon_upc
)
SELECT
    k.campaign_id,
    k.coupon_upc,
    c.campaign_type,
    k.main_department,
    k.products_covered,
    coalesce(c.households_targeted, 0) AS households_targeted,
    k.households_redeeming,
    CAST(round(100.0 * k.households_redeeming / nullif(c.households_targeted, 0), 2) AS DECIMAL(5, 2))
        AS response_percent,
    k.redemptions,
    k.first_redemption_date,
    k.last_redemption_date
FROM coupons AS k
LEFT JOIN gold.dim_campaign AS c ON c.campaign_id = k.campaign_id
