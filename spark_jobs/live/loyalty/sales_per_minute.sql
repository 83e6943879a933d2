-- What was sold, by minute, store and department, of the lines that arrived within the last day.
-- FINAL collapses repeats at query time, so a late repeat never counts twice.
SELECT
    toStartOfMinute(sale.event_timestamp) AS minute,
    sale.store_id AS store_id,
    if(product.department = '', '(unknown)', product.department) AS department,
    count() AS lines,
    uniqExact(sale.basket_id) AS baskets,
    sum(sale.quantity) AS quantity,
    sum(sale.sales_value) AS sales_value
FROM
(
    SELECT event_timestamp, store_id, basket_id, product_id, quantity, sales_value
    FROM live.transactions FINAL
    WHERE _ingested_at >= now() - INTERVAL 1 DAY
) AS sale
LEFT JOIN
(
    SELECT product_id, any(ifNull(department, '')) AS department
    FROM gold.dim_product
    WHERE is_current
    GROUP BY product_id
) AS product ON sale.product_id = product.product_id
GROUP BY minute, store_id, department
