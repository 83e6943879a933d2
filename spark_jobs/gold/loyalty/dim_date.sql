-- A fixed calendar, so that no sale, campaign or forecast falls outside it and nothing has to be read to build it.
WITH days AS (
    SELECT explode(sequence(DATE'2016-01-01', DATE'2030-12-31', INTERVAL 1 DAY)) AS calendar_date
)
SELECT
    year(calendar_date) * 10000 + month(calendar_date) * 100 + day(calendar_date) AS date_key,
    calendar_date,
    year(calendar_date) AS year,
    quarter(calendar_date) AS quarter,
    month(calendar_date) AS month,
    date_format(calendar_date, 'MMMM') AS month_name,
    trunc(calendar_date, 'MM') AS month_start,
    day(calendar_date) AS day_of_month,
    dayofyear(calendar_date) AS day_of_year,
    weekday(calendar_date) + 1 AS day_of_week,
    date_format(calendar_date, 'EEEE') AS day_name,
    weekday(calendar_date) >= 5 AS is_weekend,
    extract(YEAROFWEEK FROM calendar_date) AS iso_year,
    weekofyear(calendar_date) AS iso_week,
    -- The source counts Monday to Sunday from 2016-12-26, in US Eastern time: what sells before 04:00 or 05:00 UTC on
    -- a Monday still belongs to the week before. This is the week most of the day is in; fct_sales.week is exact.
    CASE
        WHEN calendar_date BETWEEN DATE'2016-12-26' AND DATE'2017-12-31'
            THEN CAST(datediff(calendar_date, DATE'2016-12-26') DIV 7 + 1 AS INT)
    END AS source_week
FROM days
