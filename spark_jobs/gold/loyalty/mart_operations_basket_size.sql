WITH baskets AS (
    -- A basket holds a product once, so its lines are its different products. Fuel and goods by weight come with
    -- quantities in the thousands, which is why size is not their sum.
    SELECT
        sale_date,
        basket_id,
        count(*) AS sales_lines,
        sum(quantity) AS quantity,
        sum(sales_value) AS sales_value,
        sum(retail_disc) + sum(coupon_disc) + sum(coupon_match_disc) AS total_disc
    FROM gold.fct_sales
    GROUP BY sale_date, basket_id
)
SELECT
    sale_date,
    -- Written so that the labels sort.
    CASE
        WHEN sales_lines = 1 THEN '01'
        WHEN sales_lines <= 5 THEN '02-05'
        WHEN sales_lines <= 10 THEN '06-10'
        WHEN sales_lines <= 20 THEN '11-20'
        WHEN sales_lines <= 40 THEN '21-40'
        ELSE '41+'
    END AS basket_size,
    count(*) AS baskets,
    sum(sales_lines) AS sales_lines,
    sum(quantity) AS quantity,
    sum(sales_value) AS sales_value,
    sum(total_disc) AS total_disc
FROM baskets
GROUP BY sale_date, basket_size
