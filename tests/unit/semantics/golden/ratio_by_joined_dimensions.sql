SELECT
    toStartOfMonth(t.sale_date) AS period,
    dim_product.department AS department,
    dim_household.age AS age,
    t.store_id AS store_id,
    SUM(t.sales_value) AS revenue,
    round(if(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0) IS NULL, NULL, divideDecimal(toDecimal256(SUM(t.sales_value), 6), ifNull(nullIf(toDecimal256(COUNT(DISTINCT t.basket_id), 6), 0), 1), 12)), 2) AS average_basket_value
FROM gold.fct_sales AS t
LEFT JOIN gold.dim_product AS dim_product ON dim_product.product_key = t.product_key
LEFT JOIN gold.dim_household AS dim_household ON dim_household.household_key = t.household_key
WHERE t.sale_date >= {p0:Date32}
    AND has({p1:Array(String)}, dim_product.brand)
    AND dim_household.age != {p2:String}
    AND NOT has({p3:Array(Int64)}, t.store_id)
GROUP BY toStartOfMonth(t.sale_date), dim_product.department, dim_household.age, t.store_id
ORDER BY revenue DESC, period, department, age, store_id
LIMIT 50 OFFSET 100
-- {"p0": "2017-02-01", "p1": ["National", "it's"], "p2": "Unknown", "p3": [367, 406]}
