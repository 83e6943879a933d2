WITH baskets AS (
    -- First per basket: the distinct counts below then see a tenth of the rows.
    SELECT
        sale_date,
        basket_id,
        household_id,
        store_id,
        count(*) AS sales_lines,
        sum(quantity) AS quantity,
        sum(sales_value) AS sales_value,
        sum(retail_disc) AS retail_disc,
        sum(coupon_disc) AS coupon_disc,
        sum(coupon_match_disc) AS coupon_match_disc
    FROM gold.fct_sales
    GROUP BY sale_date, basket_id, household_id, store_id
)
SELECT
    sale_date,
    count(DISTINCT basket_id) AS baskets,
    count(DISTINCT household_id) AS households,
    count(DISTINCT store_id) AS stores,
    sum(sales_lines) AS sales_lines,
    sum(quantity) AS quantity,
    sum(sales_value) AS sales_value,
    sum(retail_disc) AS retail_disc,
    sum(coupon_disc) AS coupon_disc,
    sum(coupon_match_disc) AS coupon_match_disc,
    -- sales_value is what the retailer receives: by the shopper and, for coupon_disc, by the manufacturer.
    sum(sales_value) + sum(retail_disc) + sum(coupon_match_disc) AS list_value,
    sum(sales_value) + sum(coupon_match_disc) AS loyalty_value,
    sum(sales_value) - sum(coupon_disc) AS shopper_paid,
    round(sum(sales_value) / count(DISTINCT basket_id), 2) AS average_basket_value
FROM baskets
GROUP BY sale_date
