WITH department AS (
    SELECT campaign_id, coupon_upc, ifnull(p.department, 'Unknown') AS department, count(*) AS products
    FROM coupon LEFT JOIN (FROM product_version WHERE valid_to = '2299-12-31') AS p USING (product_id)
    GROUP BY ALL
)
SELECT
    campaign_id,
    coupon_upc,
    (SELECT campaign_type FROM campaign AS c WHERE c.campaign_id = d.campaign_id) AS campaign_type,
    first(department ORDER BY products DESC, department ASC) AS main_department,
    sum(products)::BIGINT AS products_covered,
    (SELECT count(*) FROM target AS t WHERE t.campaign_id = d.campaign_id) AS households_targeted,
    any_value(ifnull(r.households, 0)) AS households_redeeming,
    money(half_up(
        10000 * any_value(ifnull(r.households, 0)), (SELECT count(*) FROM target AS t WHERE t.campaign_id = d.campaign_id)
    ))::DECIMAL(5, 2) AS response_percent,
    any_value(ifnull(r.n, 0)) AS redemptions,
    any_value(first_day) AS first_redemption_date,
    any_value(last_day) AS last_redemption_date
FROM department AS d
LEFT JOIN (
    SELECT
        campaign_id, coupon_upc, count(*) AS n, count(DISTINCT household_id) AS households,
        min(redemption_date) AS first_day, max(redemption_date) AS last_day
    FROM redemption GROUP BY ALL
) AS r USING (campaign_id, coupon_upc)
GROUP BY campaign_id, coupon_upc
