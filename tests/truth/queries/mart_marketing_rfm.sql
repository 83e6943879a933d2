-- Scores by counting, for each household, those that are no better.
WITH h AS (
    SELECT
        household_id, min(day) AS first_day, max(day) AS last_day,
        count(DISTINCT basket_id) AS f, sum(sv) AS m
    FROM line GROUP BY household_id
),
counted AS (
    SELECT
        a.*,
        (SELECT count(*) FROM h) AS n,
        (SELECT count(*) FROM h AS o WHERE o.last_day <= a.last_day) AS r_upto,
        (SELECT count(*) FROM h AS o WHERE o.f <= a.f) AS f_upto,
        (SELECT count(*) FROM h AS o WHERE o.m <= a.m) AS m_upto
    FROM h AS a
),
scored AS (
    SELECT
        *,
        (SELECT min(k) FROM range(1, 6) AS t(k) WHERE 5 * r_upto <= k * n)::INT AS r,
        (SELECT min(k) FROM range(1, 6) AS t(k) WHERE 5 * f_upto <= k * n)::INT AS fs,
        (SELECT min(k) FROM range(1, 6) AS t(k) WHERE 5 * m_upto <= k * n)::INT AS ms
    FROM counted
)
SELECT
    household_id,
    (SELECT max(day) FROM line) AS as_of_date,
    first_day AS first_sale_date,
    last_day AS last_sale_date,
    ((SELECT max(day) FROM line) - last_day)::INT AS recency_days,
    f AS frequency,
    money(m) AS monetary,
    money(half_up(m, f)) AS average_basket_value,
    r AS recency_score,
    fs AS frequency_score,
    ms AS monetary_score,
    (r || '' || fs || '' || ms)::INT AS rfm_score,
    (SELECT segment FROM (VALUES
        (1, 'champion', least(r, fs, ms) >= 4), (2, 'loyal', least(r, fs) >= 3), (3, 'promising', r >= 4),
        (4, 'at risk', greatest(fs, ms) >= 4), (5, 'needs attention', r = 3), (6, 'hibernating', true)
     ) AS s(place, segment, holds) WHERE holds ORDER BY place LIMIT 1) AS segment
FROM scored
