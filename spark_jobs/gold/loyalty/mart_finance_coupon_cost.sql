-- A manufacturer's coupon (coupon_disc) is paid back by the manufacturer; where the retailer matches it, that match
-- (coupon_match_disc) is the retailer's own cost. By the product as it was when sold.
SELECT
    f.sale_date,
    p.department,
    p.manufacturer_id,
    count(*) AS coupon_lines,
    count(DISTINCT f.basket_id) AS baskets,
    count(DISTINCT f.household_id) AS households,
    sum(f.sales_value) AS sales_value,
    sum(f.coupon_disc) AS coupon_disc,
    sum(f.coupon_match_disc) AS coupon_match_disc,
    sum(f.coupon_disc + f.coupon_match_disc) AS coupon_cost
FROM gold.fct_sales AS f
INNER JOIN gold.dim_product AS p ON p.product_key = f.product_key
WHERE f.coupon_disc > 0 OR f.coupon_match_disc > 0
GROUP BY f.sale_date, p.department, p.manufacturer_id
