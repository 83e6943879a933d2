-- Sales of product x store x week beside display and mailer, or without. Sales are summed before promotions are
-- joined: a promotion may have two rows for the same product, store and week (two places on display), and 1.3 million
-- sums meet 20.9 million promotions once. Only what sold is compared, with promotion and without.
WITH sold AS (
    SELECT
        product_id,
        store_id,
        week,
        week_end,
        sum(quantity) AS quantity,
        sum(sales_value) AS sales_value,
        sum(retail_disc) AS retail_disc
    FROM gold.fct_sales
    GROUP BY product_id, store_id, week, week_end
),
promoted AS (
    -- '0' stands for "not on display" and "not in the mailer".
    SELECT
        r.product_id,
        r.store_id,
        r.week,
        bool_or(r.display_location <> '0') AS on_display,
        bool_or(r.mailer_location <> '0') AS in_mailer
    FROM silver.promotions AS r
    LEFT SEMI JOIN sold AS s ON s.product_id = r.product_id AND s.store_id = r.store_id AND s.week = r.week
    GROUP BY r.product_id, r.store_id, r.week
),
observed AS (
    -- Promotions are known of a quarter of the stores; elsewhere nobody can say whether something was on display.
    SELECT DISTINCT store_id, week FROM silver.promotions
),
labelled AS (
    SELECT
        s.*,
        coalesce(p.department, 'Unknown') AS department,
        coalesce(p.product_category, 'Unknown') AS product_category,
        CASE
            WHEN o.store_id IS NULL THEN 'not observed'
            WHEN r.on_display AND r.in_mailer THEN 'display and mailer'
            WHEN r.on_display THEN 'display'
            WHEN r.in_mailer THEN 'mailer'
            ELSE 'none'
        END AS promotion
    FROM sold AS s
    LEFT JOIN promoted AS r ON r.product_id = s.product_id AND r.store_id = s.store_id AND r.week = s.week
    LEFT JOIN observed AS o ON o.store_id = s.store_id AND o.week = s.week
    LEFT JOIN gold.dim_product AS p ON p.product_id = s.product_id AND p.is_current
)
SELECT
    week_end,
    week,
    department,
    product_category,
    promotion,
    count(*) AS product_store_weeks,
    count(DISTINCT product_id) AS products,
    sum(quantity) AS quantity,
    sum(sales_value) AS sales_value,
    sum(retail_disc) AS retail_disc,
    round(sum(sales_value) / count(*), 2) AS sales_value_per_product_store_week
FROM labelled
GROUP BY week_end, week, department, product_category, promotion
