-- The version that held is the newest one that had begun.
SELECT
    basket_id,
    l.product_id,
    yyyymmdd(day) AS date_key,
    store_id AS store_key,
    ifnull(p.version_key, lpad('', 32, '0')) AS product_key,
    h.version_key AS household_key,
    store_id,
    l.household_id,
    ts AS transaction_timestamp,
    day AS sale_date,
    strftime(day, '%Y-%m-01')::DATE AS sale_month,
    week::INT AS week,
    DATE '2017-01-02' + (7 * (week - 1))::INT AS week_end,
    qty AS quantity,
    money(sv)::DECIMAL(10, 2) AS sales_value,
    money(rd)::DECIMAL(10, 2) AS retail_disc,
    money(cd)::DECIMAL(10, 2) AS coupon_disc,
    money(cm)::DECIMAL(10, 2) AS coupon_match_disc
FROM line AS l
ASOF LEFT JOIN product_version AS p ON l.product_id = p.product_id AND l.ts >= p.valid_from
ASOF LEFT JOIN household_version AS h ON l.household_id = h.household_id AND l.ts >= h.valid_from
