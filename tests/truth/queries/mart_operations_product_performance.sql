WITH p AS (FROM product_version WHERE valid_to = '2299-12-31'),
s AS (
    SELECT
        strftime(day, '%Y-%m-01')::DATE AS month, l.product_id, ifnull(p.department, 'Unknown') AS department,
        ifnull(p.brand, 'Unknown') AS brand, ifnull(p.product_category, 'Unknown') AS category,
        ifnull(p.product_type, 'Unknown') AS type,
        count(DISTINCT basket_id) AS baskets, count(DISTINCT household_id) AS households,
        count(DISTINCT store_id) AS stores,
        sum(qty)::BIGINT AS qty, sum(sv) AS sv, sum(rd) AS rd, sum(cd) AS cd, sum(cm) AS cm
    FROM line AS l LEFT JOIN p ON p.product_id = l.product_id
    GROUP BY ALL
),
-- All products of a month and department in a list, best first, numbered.
places AS (
    SELECT
        month, department,
        unnest(list(product_id ORDER BY sv DESC, product_id)) AS product_id,
        unnest(range(1, count(*) + 1))::INT AS place
    FROM s
    GROUP BY month, department
)
SELECT
    month AS sale_month,
    product_id,
    department,
    brand,
    category AS product_category,
    type AS product_type,
    baskets,
    households,
    stores,
    qty AS quantity,
    money(sv) AS sales_value,
    money(rd) AS retail_disc,
    money(cd) AS coupon_disc,
    money(cm) AS coupon_match_disc,
    (half_up(sv * 100, qty) * 0.0001::DECIMAL(5, 4))::DECIMAL(18, 4) AS average_price,
    place AS rank_in_department
FROM s
JOIN places USING (month, department, product_id)
