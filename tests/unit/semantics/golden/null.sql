SELECT
    toMonday(t.sale_date) AS period,
    SUM(t.coupon_cost) AS coupon_cost
FROM gold.mart_finance_coupon_cost AS t
WHERE t.manufacturer_id IS NOT NULL
GROUP BY toMonday(t.sale_date)
ORDER BY period
LIMIT 1000
-- {}
