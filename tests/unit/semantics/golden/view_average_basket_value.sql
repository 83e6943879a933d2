CREATE OR REPLACE VIEW `role_store_manager`.`metric_average_basket_value`
(
    `period` Date COMMENT 'First day of the month',
    `dimension` String COMMENT 'Choose one: all or store_id, week, dim_store.store_name, dim_product.department, dim_product.brand, dim_product.product_category, dim_date.day_name',
    `member` Nullable(String) COMMENT 'Value of the dimension',
    `average_basket_value` Nullable(Decimal(38, 2)) COMMENT 'Average basket, USD: Revenue per basket'
)
SQL SECURITY INVOKER
AS
SELECT period, 'all' AS dimension, '' AS member, average_basket_value FROM (
    SELECT
        toStartOfMonth(t.sale_date) AS period,
        round(if(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0) IS NULL, NULL, divideDecimal(toDecimal256(SUM(t.sales_value), 6), ifNull(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0), 1), 12)), 2) AS average_basket_value
    FROM `role_store_manager`.`fct_sales` AS t
    GROUP BY toStartOfMonth(t.sale_date)
)
UNION ALL
SELECT period, 'store_id' AS dimension, toString(store_id) AS member, average_basket_value FROM (
    SELECT
        toStartOfMonth(t.sale_date) AS period,
        t.store_id AS store_id,
        round(if(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0) IS NULL, NULL, divideDecimal(toDecimal256(SUM(t.sales_value), 6), ifNull(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0), 1), 12)), 2) AS average_basket_value
    FROM `role_store_manager`.`fct_sales` AS t
    GROUP BY toStartOfMonth(t.sale_date), t.store_id
)
UNION ALL
SELECT period, 'week' AS dimension, toString(week) AS member, average_basket_value FROM (
    SELECT
        toStartOfMonth(t.sale_date) AS period,
        t.week AS week,
        round(if(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0) IS NULL, NULL, divideDecimal(toDecimal256(SUM(t.sales_value), 6), ifNull(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0), 1), 12)), 2) AS average_basket_value
    FROM `role_store_manager`.`fct_sales` AS t
    GROUP BY toStartOfMonth(t.sale_date), t.week
)
UNION ALL
SELECT period, 'dim_store.store_name' AS dimension, toString(store_name) AS member, average_basket_value FROM (
    SELECT
        toStartOfMonth(t.sale_date) AS period,
        dim_store.store_name AS store_name,
        round(if(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0) IS NULL, NULL, divideDecimal(toDecimal256(SUM(t.sales_value), 6), ifNull(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0), 1), 12)), 2) AS average_basket_value
    FROM `role_store_manager`.`fct_sales` AS t
    LEFT JOIN `role_store_manager`.`dim_store` AS dim_store ON dim_store.store_key = t.store_key
    GROUP BY toStartOfMonth(t.sale_date), dim_store.store_name
)
UNION ALL
SELECT period, 'dim_product.department' AS dimension, toString(department) AS member, average_basket_value FROM (
    SELECT
        toStartOfMonth(t.sale_date) AS period,
        dim_product.department AS department,
        round(if(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0) IS NULL, NULL, divideDecimal(toDecimal256(SUM(t.sales_value), 6), ifNull(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0), 1), 12)), 2) AS average_basket_value
    FROM `role_store_manager`.`fct_sales` AS t
    LEFT JOIN `role_store_manager`.`dim_product` AS dim_product ON dim_product.product_key = t.product_key
    GROUP BY toStartOfMonth(t.sale_date), dim_product.department
)
UNION ALL
SELECT period, 'dim_product.brand' AS dimension, toString(brand) AS member, average_basket_value FROM (
    SELECT
        toStartOfMonth(t.sale_date) AS period,
        dim_product.brand AS brand,
        round(if(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0) IS NULL, NULL, divideDecimal(toDecimal256(SUM(t.sales_value), 6), ifNull(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0), 1), 12)), 2) AS average_basket_value
    FROM `role_store_manager`.`fct_sales` AS t
    LEFT JOIN `role_store_manager`.`dim_product` AS dim_product ON dim_product.product_key = t.product_key
    GROUP BY toStartOfMonth(t.sale_date), dim_product.brand
)
UNION ALL
SELECT period, 'dim_product.product_category' AS dimension, toString(product_category) AS member, average_basket_value FROM (
    SELECT
        toStartOfMonth(t.sale_date) AS period,
        dim_product.product_category AS product_category,
        round(if(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0) IS NULL, NULL, divideDecimal(toDecimal256(SUM(t.sales_value), 6), ifNull(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0), 1), 12)), 2) AS average_basket_value
    FROM `role_store_manager`.`fct_sales` AS t
    LEFT JOIN `role_store_manager`.`dim_product` AS dim_product ON dim_product.product_key = t.product_key
    GROUP BY toStartOfMonth(t.sale_date), dim_product.product_category
)
UNION ALL
SELECT period, 'dim_date.day_name' AS dimension, toString(day_name) AS member, average_basket_value FROM (
    SELECT
        toStartOfMonth(t.sale_date) AS period,
        dim_date.day_name AS day_name,
        round(if(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0) IS NULL, NULL, divideDecimal(toDecimal256(SUM(t.sales_value), 6), ifNull(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0), 1), 12)), 2) AS average_basket_value
    FROM `role_store_manager`.`fct_sales` AS t
    LEFT JOIN `role_store_manager`.`dim_date` AS dim_date ON dim_date.date_key = t.date_key
    GROUP BY toStartOfMonth(t.sale_date), dim_date.day_name
)
COMMENT 'policy: c2b4a600ac632606'