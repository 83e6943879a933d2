WITH baskets AS (
    -- First per basket: the distinct counts below then see a tenth of the rows.
    SELECT
        sale_date,
        store_id,
        hour(transaction_timestamp) AS hour_of_day,
        basket_id,
        household_id,
        count(*) AS sales_lines,
        sum(quantity) AS quantity,
        sum(sales_value) AS sales_value
    FROM gold.fct_sales
    GROUP BY sale_date, store_id, hour(transaction_timestamp), basket_id, household_id
)
SELECT
    sale_date,
    store_id,
    hour_of_day,
    count(DISTINCT basket_id) AS baskets,
    count(DISTINCT household_id) AS households,
    sum(sales_lines) AS sales_lines,
    sum(quantity) AS quantity,
    sum(sales_value) AS sales_value
FROM baskets
GROUP BY sale_date, store_id, hour_of_day
