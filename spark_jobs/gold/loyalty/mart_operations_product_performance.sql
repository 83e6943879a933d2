WITH sold AS (
    SELECT
        sale_month,
        product_id,
        -- A basket holds a product once.
        count(*) AS baskets,
        count(DISTINCT household_id) AS households,
        count(DISTINCT store_id) AS stores,
        sum(quantity) AS quantity,
        sum(sales_value) AS sales_value,
        sum(retail_disc) AS retail_disc,
        sum(coupon_disc) AS coupon_disc,
        sum(coupon_match_disc) AS coupon_match_disc
    FROM gold.fct_sales
    GROUP BY sale_month, product_id
)
SELECT
    s.sale_month,
    s.product_id,
    -- As the product is today: who plans the shelf looks for it where it is now.
    coalesce(p.department, 'Unknown') AS department,
    coalesce(p.brand, 'Unknown') AS brand,
    coalesce(p.product_category, 'Unknown') AS product_category,
    coalesce(p.product_type, 'Unknown') AS product_type,
    s.baskets,
    s.households,
    s.stores,
    s.quantity,
    s.sales_value,
    s.retail_disc,
    s.coupon_disc,
    s.coupon_match_disc,
    round(s.sales_value / nullif(s.quantity, 0), 4) AS average_price,
    -- Ordered by product too, so that equal sales do not change places between two runs.
    row_number() OVER (
        PARTITION BY s.sale_month, coalesce(p.department, 'Unknown')
        ORDER BY s.sales_value DESC, s.product_id
    ) AS rank_in_department
FROM sold AS s
LEFT JOIN gold.dim_product AS p ON p.product_id = s.product_id AND p.is_current
