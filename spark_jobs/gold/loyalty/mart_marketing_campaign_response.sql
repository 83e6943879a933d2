WITH baskets AS (
    -- A basket's total first: a household is in several campaigns, and each would read its every line again.
    SELECT household_id, sale_date, basket_id, sum(sales_value) AS sales_value, sum(coupon_disc) AS coupon_disc
    FROM gold.fct_sales
    GROUP BY household_id, sale_date, basket_id
),
bought AS (
    SELECT
        t.campaign_id,
        count(DISTINCT b.household_id) AS households_buying,
        count(DISTINCT b.basket_id) AS baskets,
        sum(b.sales_value) AS sales_value,
        sum(b.coupon_disc) AS coupon_disc
    FROM silver.campaign_households AS t
    INNER JOIN gold.dim_campaign AS c ON c.campaign_id = t.campaign_id
    INNER JOIN baskets AS b
        ON b.household_id = t.household_id
        AND b.sale_date BETWEEN c.start_date AND c.end_date
    WHERE NOT t._is_deleted
    GROUP BY t.campaign_id
),
redeemed AS (
    SELECT
        campaign_id,
        count(*) AS redemptions,
        count(DISTINCT household_id) AS households_redeeming,
        count(DISTINCT coupon_upc) AS coupons_redeemed
    FROM silver.coupon_redemptions
    GROUP BY campaign_id
)
SELECT
    c.campaign_id,
    c.campaign_type,
    c.start_date,
    c.end_date,
    c.households_targeted,
    coalesce(r.households_redeeming, 0) AS households_redeeming,
    CAST(round(100.0 * coalesce(r.households_redeeming, 0) / nullif(c.households_targeted, 0), 2) AS DECIMAL(5, 2))
        AS response_percent,
    c.coupons_offered,
    coalesce(r.coupons_redeemed, 0) AS coupons_redeemed,
    coalesce(r.redemptions, 0) AS redemptions,
    coalesce(b.households_buying, 0) AS households_buying,
    coalesce(b.baskets, 0) AS baskets,
    coalesce(b.sales_value, 0) AS sales_value,
    coalesce(b.coupon_disc, 0) AS coupon_disc
FROM gold.dim_campaign AS c
LEFT JOIN redeemed AS r ON r.campaign_id = c.campaign_id
LEFT JOIN bought AS b ON b.campaign_id = c.campaign_id
