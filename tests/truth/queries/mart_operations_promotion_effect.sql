WITH psw AS (
    SELECT product_id, store_id, week, sum(qty) AS qty, sum(sv) AS sv, sum(rd) AS rd FROM line GROUP BY ALL
),
on_display AS (
    SELECT product_id, store_id, week FROM psw
    SEMI JOIN (FROM promotion WHERE display_location != '0') AS d USING (product_id, store_id, week)
),
in_mailer AS (
    SELECT product_id, store_id, week FROM psw
    SEMI JOIN (FROM promotion WHERE mailer_location != '0') AS m USING (product_id, store_id, week)
),
watched AS (SELECT week, list(DISTINCT store_id) AS stores FROM promotion GROUP BY week),
shown AS (
    SELECT
        psw.*,
        list_contains(ifnull(w.stores, []), psw.store_id) AS watched,
        d.week IS NOT NULL AS displayed,
        m.week IS NOT NULL AS mailed
    FROM psw
    LEFT JOIN watched AS w ON w.week = psw.week
    LEFT JOIN on_display AS d ON (d.product_id, d.store_id, d.week) = (psw.product_id, psw.store_id, psw.week)
    LEFT JOIN in_mailer AS m ON (m.product_id, m.store_id, m.week) = (psw.product_id, psw.store_id, psw.week)
)
SELECT
    DATE '2017-01-02' + (7 * (week - 1))::INT AS week_end,
    week::INT AS week,
    ifnull(p.department, 'Unknown') AS department,
    ifnull(p.product_category, 'Unknown') AS product_category,
    if(NOT watched, 'not observed', ifnull(nullif(concat_ws(' and ',
        CASE WHEN displayed THEN 'display' END, CASE WHEN mailed THEN 'mailer' END), ''), 'none')) AS promotion,
    count(*) AS product_store_weeks,
    count(DISTINCT shown.product_id) AS products,
    sum(qty)::BIGINT AS quantity,
    money(sum(sv)) AS sales_value,
    money(sum(rd)) AS retail_disc,
    money(half_up(sum(sv), count(*))) AS sales_value_per_product_store_week
FROM shown
LEFT JOIN (FROM product_version WHERE valid_to = '2299-12-31') AS p ON p.product_id = shown.product_id
GROUP BY ALL
