WITH d AS (SELECT unnest(generate_series(TIMESTAMP '2016-01-01', TIMESTAMP '2030-12-31', INTERVAL 1 DAY))::DATE AS d)
SELECT
    strftime(d, '%Y%m%d')::INT AS date_key,
    d AS calendar_date,
    date_part('year', d)::INT AS year,
    ((date_part('month', d) + 2) // 3)::INT AS quarter,
    date_part('month', d)::INT AS month,
    monthname(d) AS month_name,
    strftime(d, '%Y-%m-01')::DATE AS month_start,
    date_part('day', d)::INT AS day_of_month,
    strftime(d, '%j')::INT AS day_of_year,
    strftime(d, '%u')::INT AS day_of_week,
    dayname(d) AS day_name,
    strftime(d, '%a') IN ('Sat', 'Sun') AS is_weekend,
    strftime(d, '%G')::INT AS iso_year,
    strftime(d, '%V')::INT AS iso_week,
    -- The week of the source in which sales at noon of that day fall.
    w.week::INT AS source_week
FROM d
LEFT JOIN (SELECT range AS week, DATE '2016-12-19' + (7 * range)::INT AS monday FROM range(1, 54)) AS w
    ON d.d - w.monday BETWEEN 0 AND 6
