WITH b AS (
    SELECT DISTINCT ON (basket_id, day)
        day, basket_id,
        count(*) OVER w AS lines, sum(qty) OVER w AS qty, sum(sv) OVER w AS sv, sum(rd + cd + cm) OVER w AS disc
    FROM line WINDOW w AS (PARTITION BY basket_id, day)
),
size(label, low, high) AS (
    VALUES ('01', 1, 1), ('02-05', 2, 5), ('06-10', 6, 10), ('11-20', 11, 20), ('21-40', 21, 40), ('41+', 41, 1000000)
)
SELECT
    day AS sale_date,
    label AS basket_size,
    count(*) AS baskets,
    sum(lines)::BIGINT AS sales_lines,
    sum(qty)::BIGINT AS quantity,
    money(sum(sv)) AS sales_value,
    money(sum(disc)) AS total_disc
FROM b JOIN size ON lines BETWEEN low AND high
GROUP BY ALL
