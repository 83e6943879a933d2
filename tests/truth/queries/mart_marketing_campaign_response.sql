WITH bought AS (
    SELECT
        c.campaign_id,
        count(DISTINCT l.household_id) AS households, count(DISTINCT basket_id) AS baskets, sum(sv) AS sv, sum(cd) AS cd
    FROM line AS l
    JOIN target AS t ON t.household_id = l.household_id
    JOIN campaign AS c ON c.campaign_id = t.campaign_id AND l.ts >= c.start_date AND l.ts < c.end_date + INTERVAL 1 DAY
    GROUP BY ALL
),
counts AS (
    SELECT
        campaign_id, campaign_type, start_date::DATE AS start_date, end_date::DATE AS end_date,
        (SELECT count(*) FROM target AS t WHERE t.campaign_id = c.campaign_id) AS targeted,
        (SELECT count(DISTINCT household_id) FROM redemption AS r WHERE r.campaign_id = c.campaign_id) AS redeeming,
        (SELECT count(DISTINCT coupon_upc) FROM coupon AS o WHERE o.campaign_id = c.campaign_id) AS offered,
        (SELECT count(DISTINCT coupon_upc) FROM redemption AS r WHERE r.campaign_id = c.campaign_id) AS redeemed,
        (SELECT count(*) FROM redemption AS r WHERE r.campaign_id = c.campaign_id) AS redemptions
    FROM campaign AS c
)
SELECT
    campaign_id, campaign_type, start_date, end_date,
    targeted AS households_targeted,
    redeeming AS households_redeeming,
    money(half_up(10000 * redeeming, targeted))::DECIMAL(5, 2) AS response_percent,
    offered AS coupons_offered,
    redeemed AS coupons_redeemed,
    redemptions,
    ifnull(households, 0) AS households_buying,
    ifnull(baskets, 0) AS baskets,
    money(ifnull(sv, 0)) AS sales_value,
    money(ifnull(cd, 0)) AS coupon_disc
FROM counts LEFT JOIN bought USING (campaign_id)
