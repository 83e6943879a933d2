SELECT
    day AS sale_date,
    ifnull(p.department, 'Unknown') AS department,
    ifnull(p.brand, 'Unknown') AS brand,
    count(*) AS sales_lines,
    count(*) - count(*) FILTER (rd = 0 AND cd = 0 AND cm = 0) AS discounted_lines,
    sum(qty)::BIGINT AS quantity,
    money(sum(sv)) AS sales_value,
    money(sum(rd)) AS retail_disc,
    money(sum(cd)) AS coupon_disc,
    money(sum(cm)) AS coupon_match_disc,
    money(sum(rd) + sum(cd) + sum(cm)) AS total_disc,
    money(sum(sv) + sum(rd) + sum(cm)) AS list_value
FROM line AS l
ASOF LEFT JOIN product_version AS p ON l.product_id = p.product_id AND l.ts >= p.valid_from
GROUP BY ALL
