SELECT
    day AS sale_date,
    ifnull(p.department, 'Unknown') AS department,
    ifnull(p.manufacturer_id, -1) AS manufacturer_id,
    count(*) AS coupon_lines,
    count(DISTINCT basket_id) AS baskets,
    count(DISTINCT household_id) AS households,
    money(sum(sv)) AS sales_value,
    money(sum(cd)) AS coupon_disc,
    money(sum(cm)) AS coupon_match_disc,
    money(sum(cd + cm)) AS coupon_cost
FROM (FROM line WHERE cd + cm > 0) AS l
ASOF LEFT JOIN product_version AS p ON l.product_id = p.product_id AND l.ts >= p.valid_from
GROUP BY ALL
