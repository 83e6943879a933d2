SELECT
    day AS sale_date,
    count(DISTINCT basket_id) AS baskets,
    count(DISTINCT household_id) AS households,
    count(DISTINCT store_id) AS stores,
    count(*) AS sales_lines,
    sum(qty)::BIGINT AS quantity,
    money(sum(sv)) AS sales_value,
    money(sum(rd)) AS retail_disc,
    money(sum(cd)) AS coupon_disc,
    money(sum(cm)) AS coupon_match_disc,
    money(sum(sv) + sum(rd) + sum(cm)) AS list_value,
    money(sum(sv) + sum(cm)) AS loyalty_value,
    money(sum(sv) - sum(cd)) AS shopper_paid,
    money(half_up(sum(sv), count(DISTINCT basket_id))) AS average_basket_value
FROM line
GROUP BY ALL
