-- By the product as it was when sold, so that a booked month keeps its figures when a product moves department.
SELECT
    f.sale_date,
    p.department,
    p.brand,
    count(*) AS sales_lines,
    count_if(f.retail_disc <> 0 OR f.coupon_disc <> 0 OR f.coupon_match_disc <> 0) AS discounted_lines,
    sum(f.quantity) AS quantity,
    sum(f.sales_value) AS sales_value,
    sum(f.retail_disc) AS retail_disc,
    sum(f.coupon_disc) AS coupon_disc,
    sum(f.coupon_match_disc) AS coupon_match_disc,
    -- Sums are added, not rows: decimal arithmetic is dear, and a group has a hundred rows.
    sum(f.retail_disc) + sum(f.coupon_disc) + sum(f.coupon_match_disc) AS total_disc,
    sum(f.sales_value) + sum(f.retail_disc) + sum(f.coupon_match_disc) AS list_value
FROM gold.fct_sales AS f
INNER JOIN gold.dim_product AS p ON p.product_key = f.product_key
GROUP BY f.sale_date, p.department, p.brand
