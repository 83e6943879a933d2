SELECT
    date_trunc('hour', ts)::DATE AS sale_date,
    store_id,
    date_part('hour', date_trunc('hour', ts))::INT AS hour_of_day,
    count(DISTINCT basket_id) AS baskets,
    count(DISTINCT household_id) AS households,
    count(*) AS sales_lines,
    sum(qty)::BIGINT AS quantity,
    money(sum(sv)) AS sales_value
FROM line
GROUP BY date_trunc('hour', ts), store_id
