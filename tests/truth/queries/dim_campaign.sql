SELECT
    campaign_id AS campaign_key,
    campaign_id,
    campaign_type,
    start_date::DATE AS start_date,
    end_date::DATE AS end_date,
    len(generate_series(start_date, end_date, INTERVAL 1 DAY)) AS duration_days,
    (SELECT count(*) FROM target AS t WHERE t.campaign_id = c.campaign_id) AS households_targeted,
    (SELECT count(DISTINCT coupon_upc) FROM coupon AS o WHERE o.campaign_id = c.campaign_id) AS coupons_offered,
    (SELECT count(DISTINCT product_id) FROM coupon AS o WHERE o.campaign_id = c.campaign_id) AS products_offered
FROM campaign AS c
